//! `dlc user show`

use dlc_application::users::UserService;
use dlc_domain::users::ProfileText;
use serde_json::json;

use super::{find, report, time, view};
use crate::adapters::inbound::cli::{
    args::{Format, UserArgs},
    exit::{Exit, Failure},
    printer::{Printer, printable_line},
};

pub(super) async fn show(users: &UserService, args: &UserArgs, printer: Printer) -> Result<Exit, Failure> {
    let user = find(users, &args.name).await?;
    match args.format {
        Format::Json => report("user show", json!({"user": view(&user)}), printer),
        Format::Text => {
            let told =
                |text: Option<&ProfileText>| text.map_or_else(|| "-".to_owned(), |text| printable_line(text.as_str()));
            let lines = [
                ("name", user.username.to_string()),
                ("id", user.id.to_string()),
                ("role", if user.is_admin { "administrator" } else { "user" }.to_owned()),
                (
                    "state",
                    user.deleted_at
                        .map_or_else(|| "active".to_owned(), |at| format!("disabled since {}", time(at))),
                ),
                ("created", time(user.created_at)),
                ("changed", time(user.updated_at)),
                ("last sign-in", user.last_login.map_or_else(|| "never".to_owned(), time)),
                (
                    "password reset",
                    if user.allow_password_reset {
                        "allowed"
                    } else {
                        "not allowed"
                    }
                    .to_owned(),
                ),
                ("description", told(user.description.as_ref())),
                ("current goal", told(user.current_goal.as_ref())),
            ];
            for (name, value) in lines {
                printer.line(&format!("{name:14}  {value}"));
            }
        }
    }
    Ok(Exit::Done)
}
