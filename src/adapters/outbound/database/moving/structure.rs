//! What is moved: tables, columns and their kinds, in an order in which each row finds what it refers to. All of it is read from
//! PostgreSQL's catalogue, whichever side that is: SQLite's types would not tell a timestamp from a text.
//!
//! Not here: rows.

use std::collections::BTreeSet;

use dlc_application::operations::migrate::{ObjectKind, SchemaObject};

/// Tables that stay behind: a backup belongs to the database that it was made of.
const STAYS: [&str; 1] = ["backups"];

pub(super) fn stays(table: &str) -> bool {
    STAYS.contains(&table)
}

/// Tables into which the migrations themselves write. What the source has there replaces it.
pub(super) const FILLED_BY_MIGRATIONS: [&str; 1] = ["bootstrap_metadata"];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    BigInt,
    /// At most so many characters.
    Text(Option<usize>),
    Boolean,
    Bytes,
    Time,
    Json,
}

/// PostgreSQL's types, as `format_type` writes them, and what they hold.
const KINDS: [(&str, Kind); 7] = [
    ("integer", Kind::Integer),
    ("bigint", Kind::BigInt),
    ("text", Kind::Text(None)),
    ("boolean", Kind::Boolean),
    ("bytea", Kind::Bytes),
    ("timestamp with time zone", Kind::Time),
    ("jsonb", Kind::Json),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// Its numbers are given by a sequence.
    pub(super) serial: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) columns: Vec<String>,
    pub(super) table: String,
    pub(super) refers_to: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Places of the primary key's columns.
    pub(super) key: Vec<usize>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// Conditions, in words that both engines understand.
    pub(super) checks: Vec<String>,
    /// Columns that are unique without regard to case.
    pub(super) unique_lower: Vec<String>,
}

impl Table {
    /// Its columns as a list in SQL.
    pub(super) fn list(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        names.join(", ")
    }

    /// The key's columns as a list in SQL, of the table that is called so there.
    pub(super) fn key_list(&self, alias: &str) -> String {
        let names = self
            .key
            .iter()
            .map(|place| format!("{alias}.{}", quoted(&self.columns[*place].name)));
        names.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn serial(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.serial)
    }
}

/// A name in SQL, on both engines.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn kind(definition: &str) -> Option<Kind> {
    if let Some(rest) = definition.strip_prefix("character varying(") {
        return Some(Kind::Text(Some(rest.split(')').next()?.parse().ok()?)));
    }
    let of = |(name, kind): &(&str, Kind)| {
        let rest = definition.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with(' ')).then_some(*kind)
    };
    KINDS.iter().find_map(of)
}

/// `a, "b"` within parentheses.
fn names(list: &str) -> Vec<String> {
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .collect()
}

fn foreign_key(definition: &str) -> Option<ForeignKey> {
    let (columns, rest) = definition.strip_prefix("FOREIGN KEY (")?.split_once(") REFERENCES ")?;
    let (table, rest) = rest.split_once('(')?;
    Some(ForeignKey {
        columns: names(columns),
        table: table.trim_matches('"').to_owned(),
        refers_to: names(rest.split(')').next()?),
    })
}

/// The condition of `CHECK (…) NOT VALID`, in its parentheses.
fn condition(definition: &str) -> Option<String> {
    let condition = definition.strip_prefix("CHECK ")?;
    Some(condition[..=condition.rfind(')')?].to_owned())
}

/// The column of `CREATE UNIQUE INDEX … (lower((username)::text))`.
fn unique_lower(definition: &str) -> Option<String> {
    let expression = definition
        .strip_prefix("CREATE UNIQUE INDEX ")?
        .split_once("(lower(")?
        .1;
    let column = expression.trim_start_matches('(').split([')', ':']).next()?;
    Some(column.trim_matches('"').to_owned())
}

/// Reads the tables out of a catalogue, in the order in which they are copied. An error names the column whose type is none of
/// the known ones.
pub(super) fn tables(objects: &[SchemaObject]) -> Result<Vec<Table>, String> {
    let mut found: Vec<Table> = Vec::new();
    for object in objects.iter().filter(|object| object.kind == ObjectKind::Table) {
        if stays(&object.name) {
            continue;
        }
        let of = |kind| objects.iter().filter(move |o| o.table == object.name && o.kind == kind);
        let mut columns = Vec::new();
        for column in of(ObjectKind::Column) {
            let definition = column.definition.as_str();
            let declared = definition.split(" DEFAULT ").next().unwrap_or_default();
            columns.push(Column {
                name: column.name.clone(),
                kind: kind(definition).ok_or_else(|| format!("{}.{} is a {declared}", object.name, column.name))?,
                required: declared.contains(" NOT NULL"),
                serial: definition.contains(" DEFAULT nextval("),
            });
        }
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let constraints = || of(ObjectKind::Constraint).map(|o| o.definition.as_str());
        let key = constraints()
            .find_map(|definition| definition.strip_prefix("PRIMARY KEY ("))
            .map(|list| names(list.trim_end_matches(')')).iter().filter_map(place).collect())
            .unwrap_or_default();
        found.push(Table {
            name: object.name.clone(),
            key,
            foreign_keys: constraints().filter_map(foreign_key).collect(),
            checks: constraints().filter_map(condition).collect(),
            unique_lower: of(ObjectKind::Index)
                .filter_map(|o| unique_lower(&o.definition))
                .collect(),
            columns,
        });
    }
    Ok(in_order(found))
}

/// What is referred to comes first; otherwise by name. Tables that refer to each other come in any order, last.
fn in_order(mut tables: Vec<Table>) -> Vec<Table> {
    tables.sort_by(|one, other| one.name.cmp(&other.name));
    let mut ordered: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let done: BTreeSet<&str> = ordered.iter().map(|table| table.name.as_str()).collect();
        let ready = |table: &Table| {
            table
                .foreign_keys
                .iter()
                .all(|key| key.table == table.name || done.contains(key.table.as_str()))
        };
        let next = tables.iter().position(ready).unwrap_or_default();
        ordered.push(tables.remove(next));
    }
    ordered
}

/// Tables and columns that one catalogue has and the other has not, in words.
pub(super) fn differences(source: &[SchemaObject], target: &[SchemaObject]) -> Vec<String> {
    fn columns(objects: &[SchemaObject]) -> BTreeSet<String> {
        objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Column)
            .map(|object| format!("{}.{}", object.table, object.name))
            .collect()
    }
    let (source, target) = (columns(source), columns(target));
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>, where_: &str| {
        these
            .difference(those)
            .map(|name| format!("{name} is only in the {where_}"))
            .collect::<Vec<_>>()
    };
    [only(&source, &target, "source"), only(&target, &source, "target")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(table: &str, kind: ObjectKind, name: &str, definition: &str) -> SchemaObject {
        SchemaObject {
            table: table.into(),
            kind,
            name: name.into(),
            definition: definition.into(),
        }
    }

    #[test]
    fn a_catalogue_is_read() {
        let objects = [
            object("a_child", ObjectKind::Table, "a_child", ""),
            object(
                "a_child",
                ObjectKind::Column,
                "id",
                "integer NOT NULL DEFAULT nextval('a_child_id_seq'::regclass)",
            ),
            object("a_child", ObjectKind::Column, "of", "character varying(7)"),
            object(
                "a_child",
                ObjectKind::Constraint,
                "f",
                "FOREIGN KEY (\"of\") REFERENCES parent(name) ON DELETE CASCADE",
            ),
            object("backups", ObjectKind::Table, "backups", ""),
            object("parent", ObjectKind::Table, "parent", ""),
            object("parent", ObjectKind::Column, "name", "character varying(7) NOT NULL"),
            object(
                "parent",
                ObjectKind::Column,
                "at",
                "timestamp with time zone DEFAULT now()",
            ),
            object("parent", ObjectKind::Constraint, "p", "PRIMARY KEY (name)"),
            object("parent", ObjectKind::Constraint, "c", "CHECK ((amount > 0)) NOT VALID"),
            object(
                "parent",
                ObjectKind::Index,
                "i",
                "CREATE UNIQUE INDEX i ON parent USING btree (lower((name)::text))",
            ),
        ];
        let tables = tables(&objects).unwrap();
        assert_eq!(
            tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(),
            ["parent", "a_child"]
        );
        let [parent, child] = &tables[..] else { panic!() };
        assert_eq!(parent.columns[0].kind, Kind::Text(Some(7)));
        assert!(parent.columns[0].required && !parent.columns[1].required);
        assert_eq!(parent.columns[1].kind, Kind::Time);
        assert_eq!(
            (&parent.key[..], &parent.checks[..]),
            (&[0][..], &["((amount > 0))".to_owned()][..])
        );
        assert_eq!(parent.unique_lower, ["name"]);
        assert_eq!(child.serial().unwrap().name, "id");
        assert_eq!(child.foreign_keys[0].columns, ["of"]);
        assert_eq!(
            (
                child.foreign_keys[0].table.as_str(),
                &child.foreign_keys[0].refers_to[..]
            ),
            ("parent", &["name".to_owned()][..])
        );
    }

    #[test]
    fn a_type_that_nobody_knows_is_named() {
        let objects = [
            object("t", ObjectKind::Table, "t", ""),
            object("t", ObjectKind::Column, "x", "integer[] NOT NULL"),
        ];
        assert_eq!(tables(&objects), Err("t.x is a integer[] NOT NULL".to_owned()));
    }

    #[test]
    fn columns_of_one_side_alone_are_named() {
        let one = [
            object("t", ObjectKind::Column, "a", ""),
            object("t", ObjectKind::Column, "b", ""),
        ];
        let other = [
            object("t", ObjectKind::Column, "a", ""),
            object("u", ObjectKind::Column, "c", ""),
        ];
        assert_eq!(
            differences(&one, &other),
            ["t.b is only in the source", "u.c is only in the target"]
        );
    }
}
