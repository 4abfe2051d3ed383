//! Text that fits a terminal: broken between words, or cut off there. Where there is no terminal, there is no width, and lines are as
//! long as they are. Not here: how wide it is (`printer`).

use textwrap::{Options, WordSeparator, WordSplitter, core::display_width};

/// A line that is cut off where the terminal ends, between words where that leaves most of it.
pub(super) fn fitted(text: &str, indent: usize, width: Option<usize>) -> String {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent));
    if display_width(text) <= room {
        return text.to_owned();
    }
    let mut cut = text.to_owned();
    let mut is_within_a_word = false;
    while display_width(&cut) >= room
        && let Some(last) = cut.pop()
    {
        is_within_a_word = !last.is_whitespace();
    }
    if is_within_a_word
        && let Some((before, _)) = cut.rsplit_once(' ')
        && display_width(before) * 2 >= room
    {
        cut.truncate(before.len());
    }
    format!("{}…", cut.trim_end_matches([' ', ':', ',', ';']))
}

/// A text's lines, broken between words: a command stays one that can be copied. Further ones begin below the first one's text.
pub(super) fn wrapped(text: &str, label: &str, width: Option<usize>) -> Vec<String> {
    hanging(text, label, &" ".repeat(display_width(label)), width)
}

/// The same with a label of their own for further lines.
pub(super) fn hanging(text: &str, first: &str, next: &str, width: Option<usize>) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let Some(width) = width else {
        return vec![format!("{first}{text}")];
    };
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(next)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(text, options)
        .into_iter()
        .map(std::borrow::Cow::into_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_words_unless_little_would_be_left_of_it() {
        assert_eq!(
            fitted("secret files: none used", 11, Some(34)),
            "secret files: none used"
        );
        assert_eq!(fitted("secret files: none used", 11, Some(33)), "secret files: none…");
        assert_eq!(fitted("secret files: none used", 11, Some(28)), "secret files…");
        assert_eq!(
            fitted("a /path/that/is/one/long/word", 0, Some(20)),
            "a /path/that/is/one…"
        );
        assert_eq!(fitted("anything", 11, None), "anything");
    }

    #[test]
    fn what_does_not_fit_goes_on_below_its_beginning() {
        assert_eq!(
            wrapped("run dlc migrate up", "next:  ", Some(20)),
            ["next:  run dlc", "       migrate up"]
        );
        assert_eq!(hanging("a b", "-- ", "-- ", Some(4)), ["-- a", "-- b"]);
        assert_eq!(wrapped("a b", "", None), ["a b"]);
        assert_eq!(wrapped("", "next: ", Some(9)), [""; 0]);
    }
}
