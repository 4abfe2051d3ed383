//! `dlc completions` and `dlc man`: what shells and `man` know of dlc, made of the same definitions as its help.

use std::path::Path;

use clap::{Command, CommandFactory};

use super::{
    args::{Cli, Shell},
    exit::{Exit, Failure},
    printer::Printer,
};

/// `dlc completions`: a script for a shell, on standard output.
pub fn completions(shell: Shell, printer: Printer) -> Exit {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dlc", &mut script);
    printer.text(&String::from_utf8_lossy(&script));
    Exit::Done
}

/// `dlc man`: the page of dlc itself on standard output, or the pages of all commands in a directory.
///
/// # Errors
/// The directory cannot be written to.
pub fn man(directory: Option<&Path>, printer: Printer) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    // Those that clap adds by itself, `help` among them, are no pages.
    command.build();
    let Some(directory) = directory else {
        printer.text(&page(&command)?);
        return Ok(Exit::Done);
    };
    let failed = |path: &Path, why: &std::io::Error| {
        let message = format!("cannot write {}: {}", path.display(), super::exit::plain(why));
        Failure::new(Exit::Failed, "file_not_written", message).hint("name a directory that you may write to")
    };
    std::fs::create_dir_all(directory).map_err(|why| failed(directory, &why))?;
    let mut count = 0;
    for (name, command) in pages("dlc", &command) {
        let path = directory.join(format!("{name}.1"));
        std::fs::write(&path, page(&command)?).map_err(|why| failed(&path, &why))?;
        count += 1;
    }
    printer.line(&format!("{count} pages in {}", directory.display()));
    Ok(Exit::Done)
}

/// A command and all below it, by the names of their pages.
fn pages(name: &str, command: &Command) -> Vec<(String, Command)> {
    let mut all = vec![(name.to_owned(), command.clone())];
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        all.extend(pages(&format!("{name}-{}", below.get_name()), below));
    }
    all
}

fn page(command: &Command) -> Result<String, Failure> {
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut text);
    rendered.map_err(|why| Failure::new(Exit::Failed, "page_not_made", super::exit::plain(&why)))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
