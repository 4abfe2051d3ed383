//! A console in a document: what a person would copy, replayed and held against what is kept.

use std::borrow::Borrow;

use regex::Regex;

use super::Dlc;

/// A document, and what in its blocks differs from run to run: patterns, and what stands for them.
#[derive(Clone, Copy)]
pub struct Document {
    pub path: &'static str,
    pub usual: &'static [(&'static str, &'static str)],
}

/// Commands and what they say.
#[derive(Default)]
pub struct Console(String);

impl Document {
    fn file(self) -> String {
        format!("{}/{}", env!("CARGO_MANIFEST_DIR"), self.path)
    }

    /// Splits the document around the block that follows a marker.
    fn split(self, marker: &str) -> (String, String, String) {
        let document = std::fs::read_to_string(self.file()).unwrap();
        let (before, rest) = document
            .split_once(&format!("<!-- {marker} -->\n```"))
            .unwrap_or_else(|| panic!("{} has no block {marker}", self.path));
        let (language, rest) = rest.split_once('\n').unwrap();
        let (block, after) = rest.split_once("```\n").unwrap();
        let before = format!("{before}<!-- {marker} -->\n```{language}\n");
        (before, block.to_owned(), format!("```\n{after}"))
    }

    /// What the document says is to be run, or to be put into a file.
    pub fn recipe(self, name: &str) -> String {
        self.split(&format!("run: {name}")).1
    }

    /// Asserts that the document shows this under that name; or writes it there with `DLC_UPDATE_SNAPSHOTS=1`. Tests of one
    /// document are one test, because each writes the same file then.
    pub fn assert_replayed(self, name: &str, console: Console) {
        let (before, kept, after) = self.split(&format!("replayed: {name}"));
        let made = self.usual.iter().fold(console.0, |text, (pattern, usual)| {
            Regex::new(pattern).unwrap().replace_all(&text, *usual).into_owned()
        });
        if std::env::var_os("DLC_UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(self.file(), format!("{before}{made}{after}")).unwrap();
            return;
        }
        assert_eq!(kept, made, "{}, {name}: `just snapshots` writes it anew", self.path);
    }
}

impl Console {
    /// Runs a command of dlc's, and notes what it says.
    pub async fn run(&mut self, dlc: impl Borrow<Dlc>, command: &str) {
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let finished = dlc.borrow().run(&arguments).await;
        // On a terminal both come in the order of the program; here nothing is written to both but notes before reports.
        self.0
            .push_str(&format!("$ {command}\n{}{}", finished.stderr, finished.stdout));
    }
}
