//! Two schemas held against each other, object by object.

use std::{collections::BTreeMap, fmt};

/// What a schema is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A table; on SQLite its definition is the statement that made it.
    Table,
    /// A column: type, NOT NULL, default.
    Column,
    /// A primary key, unique, check or foreign key constraint.
    Constraint,
    /// An index that no constraint owns.
    Index,
}

impl ObjectKind {
    /// Its name in reports, in JSON and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Column => "column",
            Self::Constraint => "constraint",
            Self::Index => "index",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Table, Self::Column, Self::Constraint, Self::Index]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One object of a schema, in the engine's own normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaObject {
    /// The table it belongs to.
    pub table: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Its name; a table's own for a table.
    pub name: String,
    /// What it is like.
    pub definition: String,
}

/// How an object differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It should be there.
    Missing {
        /// What it should be like.
        expected: String,
    },
    /// It should not be there.
    Unexpected {
        /// What it is like.
        found: String,
    },
    /// It is another one.
    Different {
        /// What it should be like.
        expected: String,
        /// What it is like.
        found: String,
    },
}

/// One object that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table it belongs to.
    pub table: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// How it differs.
    pub change: Change,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        match self.kind {
            ObjectKind::Table => write!(f, "{kind} {}", self.name)?,
            ObjectKind::Column => write!(f, "{kind} {}.{}", self.table, self.name)?,
            ObjectKind::Constraint | ObjectKind::Index => write!(f, "{kind} {} on {}", self.name, self.table)?,
        }
        match (&self.change, self.kind) {
            (Change::Missing { .. }, ObjectKind::Table) => f.write_str(" is missing"),
            (Change::Unexpected { .. }, ObjectKind::Table) => f.write_str(" is not made by any migration"),
            (Change::Missing { expected }, _) => write!(f, " is missing: {expected}"),
            (Change::Unexpected { found }, _) => write!(f, " is not made by any migration: {found}"),
            (Change::Different { expected, found }, _) => write!(f, " is {found}, and should be {expected}"),
        }
    }
}

/// What differs between the schema that should be and the one that is, by table, then kind, then name. Objects of a table
/// that is missing or unexpected as a whole are not listed one by one.
#[must_use]
pub fn differences(expected: &[SchemaObject], found: &[SchemaObject]) -> Vec<Difference> {
    type Key<'a> = (&'a str, ObjectKind, &'a str);
    fn keyed(objects: &[SchemaObject]) -> BTreeMap<Key<'_>, &str> {
        objects
            .iter()
            .map(|o| ((o.table.as_str(), o.kind, o.name.as_str()), o.definition.as_str()))
            .collect()
    }
    let (expected, found) = (keyed(expected), keyed(found));
    let mut keys: Vec<Key<'_>> = expected.keys().chain(found.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let mut list: Vec<Difference> = Vec::new();
    for key @ (table, kind, name) in keys {
        let change = match (expected.get(&key), found.get(&key)) {
            (Some(expected), None) => Change::Missing {
                expected: (*expected).to_owned(),
            },
            (None, Some(found)) => Change::Unexpected {
                found: (*found).to_owned(),
            },
            (Some(expected), Some(found)) if expected != found => Change::Different {
                expected: (*expected).to_owned(),
                found: (*found).to_owned(),
            },
            _ => continue,
        };
        let whole_table = |d: &Difference| {
            d.table == table && d.kind == ObjectKind::Table && !matches!(d.change, Change::Different { .. })
        };
        if !list.iter().any(whole_table) {
            list.push(Difference {
                table: table.to_owned(),
                kind,
                name: name.to_owned(),
                change,
            });
        }
    }
    // A table's own text differs with each of its parts: it is worth a line only when no part explains it.
    let explained: Vec<String> = list
        .iter()
        .filter(|d| d.kind != ObjectKind::Table && d.kind != ObjectKind::Index)
        .map(|d| d.table.clone())
        .collect();
    list.retain(|d| {
        d.kind != ObjectKind::Table || !matches!(d.change, Change::Different { .. }) || !explained.contains(&d.table)
    });
    list
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

    fn lines(expected: &[SchemaObject], found: &[SchemaObject]) -> Vec<String> {
        differences(expected, found).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn equal_schemas_do_not_differ_whatever_their_order() {
        let a = object("t", ObjectKind::Column, "a", "integer");
        let b = object("t", ObjectKind::Column, "b", "text");
        assert_eq!(lines(&[a.clone(), b.clone()], &[b, a]), Vec::<String>::new());
    }

    #[test]
    fn each_object_that_differs_is_named_with_both_definitions() {
        let column = |definition| object("t", ObjectKind::Column, "a", definition);
        let index = object("t", ObjectKind::Index, "i", "CREATE INDEX i ON t (a)");
        assert_eq!(
            lines(&[column("integer"), index.clone()], &[column("bigint")]),
            [
                "column t.a is bigint, and should be integer",
                "index i on t is missing: CREATE INDEX i ON t (a)"
            ]
        );
        assert_eq!(
            lines(&[], &[index]),
            ["index i on t is not made by any migration: CREATE INDEX i ON t (a)"]
        );
    }

    #[test]
    fn a_table_that_is_missing_is_one_line() {
        let expected = [
            object("t", ObjectKind::Table, "t", ""),
            object("t", ObjectKind::Column, "a", "integer"),
        ];
        assert_eq!(lines(&expected, &[]), ["table t is missing"]);
    }

    #[test]
    fn the_text_of_a_table_is_told_only_when_no_column_explains_it() {
        let table = |text| object("t", ObjectKind::Table, "t", text);
        let column = |definition| object("t", ObjectKind::Column, "a", definition);
        let expected = [table("CREATE TABLE t (a INTEGER)"), column("INTEGER")];
        let found = [table("CREATE TABLE t (a TEXT)"), column("TEXT")];
        assert_eq!(lines(&expected, &found), ["column t.a is TEXT, and should be INTEGER"]);
        let found = [table("CREATE TABLE t (a INTEGER CHECK (a > 0))"), column("INTEGER")];
        assert_eq!(
            lines(&expected, &found),
            ["table t is CREATE TABLE t (a INTEGER CHECK (a > 0)), and should be CREATE TABLE t (a INTEGER)"]
        );
    }
}
