//! Rows that come page by page, in columns whose widths the first page decides.

use textwrap::core::display_width;

use crate::adapters::inbound::cli::printer::{Printer, Tone};

/// Widest column that others stand in line behind; what is wider pushes its own line alone.
const WIDEST: usize = 32;

/// On which side a column is flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table that is printed as it comes.
#[derive(Debug)]
pub(super) struct Table<'a> {
    columns: &'a [(&'a str, Align)],
    widths: Option<Vec<usize>>,
    printer: Printer,
}

impl<'a> Table<'a> {
    pub(super) fn new(columns: &'a [(&'a str, Align)], printer: Printer) -> Self {
        Self {
            columns,
            widths: None,
            printer,
        }
    }

    /// Prints rows, and before the first ones the heads of the columns.
    pub(super) fn rows(&mut self, rows: Vec<Vec<String>>) {
        if self.widths.is_none() {
            let heads: Vec<String> = self.columns.iter().map(|(head, _)| (*head).to_owned()).collect();
            let width = |column: usize| {
                let cells = rows.iter().chain([&heads]).map(|row| display_width(&row[column]));
                cells.max().unwrap_or_default().min(WIDEST)
            };
            self.widths = Some((0..self.columns.len()).map(width).collect());
            let heads = self.line(&heads);
            self.printer.line(&self.printer.paint(Tone::Faint, &heads));
        }
        for row in rows {
            self.printer.line(&self.line(&row));
        }
    }

    fn line(&self, cells: &[String]) -> String {
        let widths = self.widths.as_deref().unwrap_or_default();
        let columns = cells.iter().zip(widths).zip(self.columns);
        let cells: Vec<String> = columns
            .map(|((cell, width), (_, align))| {
                let space = " ".repeat(width.saturating_sub(display_width(cell)));
                match align {
                    Align::Left => format!("{cell}{space}"),
                    Align::Right => format!("{space}{cell}"),
                }
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    }
}
