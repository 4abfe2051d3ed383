//! What no look at a single value tells, as questions that both engines understand: rows without what they refer to, and rows that
//! break a condition. Each answers with the keys of the rows that the target would refuse.

use super::structure::{Table, quoted};

pub(super) struct Question {
    /// The columns that it is about; empty when a condition names several.
    pub(super) column: String,
    pub(super) why: String,
    pub(super) sql: String,
}

pub(super) fn questions(table: &Table) -> Vec<Question> {
    let name = quoted(&table.name);
    let key = table.key_list("c");
    let keys = table.foreign_keys.iter().map(|foreign| {
        let pairs: Vec<String> = foreign
            .columns
            .iter()
            .zip(&foreign.refers_to)
            .map(|(from, to)| format!("p.{} = c.{}", quoted(to), quoted(from)))
            .collect();
        let given: Vec<String> = foreign
            .columns
            .iter()
            .map(|from| format!("c.{} IS NOT NULL", quoted(from)))
            .collect();
        Question {
            column: foreign.columns.join(", "),
            why: format!("refers to a row of {} that does not exist", foreign.table),
            sql: format!(
                "SELECT {key} FROM {name} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
                given.join(" AND "),
                quoted(&foreign.table),
                pairs.join(" AND ")
            ),
        }
    });
    let checks = table.checks.iter().map(|check| Question {
        column: String::new(),
        why: format!("breaks CHECK {check}"),
        sql: format!("SELECT {key} FROM {name} c WHERE NOT {check}"),
    });
    keys.chain(checks).collect()
}
