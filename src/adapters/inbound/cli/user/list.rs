//! `dlc user list`

use dlc_application::{
    ports::{freshness::Freshness, users::UserFilter},
    users::UserService,
};
use dlc_domain::users::User;
use serde_json::{Value, json};

use super::{report, time};
use crate::adapters::inbound::cli::{
    args::{Format, ListUsersArgs},
    exit::{Exit, Failure},
    printer::{Printer, Tone},
};

/// Accounts read at a time.
const PAGE: u32 = 500;

pub(super) async fn list(users: &UserService, args: &ListUsersArgs, printer: Printer) -> Result<Exit, Failure> {
    let filter = match (args.deleted, args.all) {
        (true, _) => UserFilter::Deleted,
        (_, true) => UserFilter::All,
        _ => UserFilter::Active,
    };
    let mut rows: Vec<Value> = Vec::new();
    let mut after = None;
    loop {
        let page = users.page(filter, after, PAGE, Freshness::Current).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        // Not all of each: somebody may have written pages about themself.
        rows.extend(page.iter().map(row));
    }
    match args.format {
        Format::Json => report("user list", json!({"users": rows}), printer),
        Format::Text if rows.is_empty() => {
            printer.line(if filter == UserFilter::Deleted {
                "no account is disabled"
            } else {
                "there are no accounts; make one: dlc user create NAME --admin"
            });
        }
        Format::Text => table(&rows, filter, printer),
    }
    Ok(Exit::Done)
}

fn row(user: &User) -> Value {
    json!({
        "id": user.id.0,
        "username": user.username.as_str(),
        "is_admin": user.is_admin,
        "allow_password_reset": user.allow_password_reset,
        "created_at": time(user.created_at),
        "deleted_at": user.deleted_at.map(time),
        "last_login": user.last_login.map(time),
    })
}

/// Names of 20 characters fit into 80 columns; longer ones make the table wider.
fn table(rows: &[Value], filter: UserFilter, printer: Printer) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let word = |holds: bool, word: &str| if holds { word.to_owned() } else { "-".to_owned() };
    let mut lines = vec![
        vec!["NAME", "ID", "ADMIN", "CREATED"]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    ];
    match filter {
        UserFilter::Active => lines[0].push("LAST SIGN-IN".to_owned()),
        UserFilter::Deleted => lines[0].push("DISABLED".to_owned()),
        UserFilter::All => lines[0].extend(["LAST SIGN-IN".to_owned(), "STATE".to_owned()]),
    }
    for row in rows {
        let mut line = vec![
            text(&row["username"]),
            text(&row["id"]),
            word(row["is_admin"] == true, "yes"),
            text(&row["created_at"]),
        ];
        match filter {
            UserFilter::Active => line.push(text(&row["last_login"])),
            UserFilter::Deleted => line.push(text(&row["deleted_at"])),
            UserFilter::All => line.extend([text(&row["last_login"]), word(!row["deleted_at"].is_null(), "disabled")]),
        }
        lines.push(line);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or_default())
        .collect();
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let line = cells.join("  ");
        let line = line.trim_end();
        printer.line(&if index == 0 {
            printer.paint(Tone::Faint, line)
        } else {
            line.to_owned()
        });
    }
}
