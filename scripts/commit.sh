# Sourced: what was tried, for reports.

# The commit of this checkout, and whether anything but reports was changed since.
commit() {
    local name
    name=$(git log -1 --format=%h 2>/dev/null) || { echo unknown; return; }
    [ -z "$(git status --porcelain -- . ':!docs' ':!benches/*.md')" ] || name+=" and changes"
    echo "$name"
}
