//! `dlc db move`

use clap::Args;

use super::Format;

/// `dlc db move`
#[derive(Args, Debug)]
#[command(
    after_help = "Without --from the configured database is the source, without --to it is the target.\n\
                        A password need not stand in a URL: PGPASSWORD and ~/.pgpass count, too."
)]
pub struct MoveArgs {
    /// Where the rows are; other users of this machine can see a password that is typed here
    #[arg(long, value_name = "URL", required_unless_present = "to")]
    pub from: Option<String>,

    /// Where they go: an empty database, or a file that does not exist; a password that is typed here can be seen, too
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,

    /// Only look whether the target takes every value, and copy nothing
    #[arg(long)]
    pub check: bool,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}
