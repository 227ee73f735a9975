//! `vestibule user` and `vestibule reports`.

use std::io::BufRead as _;

use anyhow::Context as _;
use clap::Subcommand;
use engine::account::Secret;
use homeserver::control::{Mark, UserOrder};
use serde_json::Value;

use super::text;

/// `vestibule user`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a plain account; its random password is shown this once.
    Create {
        /// The name: the part before the colon, or the whole id.
        user: String,
        /// Make it a server administrator's.
        #[arg(long)]
        admin: bool,
        /// Read the password from standard input instead.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List all users.
    List,
    /// Set another, random password, and log the user out everywhere.
    Password {
        /// Whose.
        user: String,
        /// Read the password from standard input instead.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Let an account do nothing but log out; its devices go on when it is unlocked.
    Lock {
        /// Whose.
        user: String,
    },
    /// Let a locked account go on.
    Unlock {
        /// Whose.
        user: String,
    },
    /// Let an account only read, and clear up after itself.
    Suspend {
        /// Whose.
        user: String,
    },
    /// Let a suspended account go on.
    Unsuspend {
        /// Whose.
        user: String,
    },
    /// Make a user a server administrator.
    Promote {
        /// Whom.
        user: String,
    },
    /// Make an administrator an ordinary user.
    Demote {
        /// Whom.
        user: String,
    },
}

impl UserCommand {
    /// What it asks of the server.
    pub fn order(self) -> anyhow::Result<UserOrder> {
        let set = |user, mark, on| UserOrder::Set { user, mark, on };
        Ok(match self {
            Self::Create { user, admin, password_stdin } => {
                UserOrder::Create { user, password: typed_password(password_stdin)?, admin }
            }
            Self::List => UserOrder::List,
            Self::Password { user, password_stdin } => {
                UserOrder::Password { user, password: typed_password(password_stdin)? }
            }
            Self::Lock { user } => set(user, Mark::Locked, true),
            Self::Unlock { user } => set(user, Mark::Locked, false),
            Self::Suspend { user } => set(user, Mark::Suspended, true),
            Self::Unsuspend { user } => set(user, Mark::Suspended, false),
            Self::Promote { user } => set(user, Mark::Admin, true),
            Self::Demote { user } => set(user, Mark::Admin, false),
        })
    }
}

/// Not as an argument: those are seen by everybody on the machine.
fn typed_password(wanted: bool) -> anyhow::Result<Option<Secret>> {
    if !wanted {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("no password came on standard input")?;
    Ok(Some(Secret::new(line.trim_end_matches(['\r', '\n']).to_owned())))
}

/// The answer to an order about users, for people.
pub fn users_for_people(order: &UserOrder, answer: &Value) -> String {
    let user = text(&answer["user_id"]);
    match order {
        UserOrder::Create { .. } | UserOrder::Password { .. } => match answer["password"].as_str() {
            Some(password) => format!("{user}\n{password}\n\nThe second line is the password; it is shown this once.\n"),
            None => format!("{user}\n"),
        },
        UserOrder::List => {
            let line = |user: &Value| {
                let marks = ["admin", "locked", "suspended", "deactivated"].into_iter().filter(|mark| user[mark] == true);
                let marks: String = marks.map(|mark| format!("  {mark}")).collect();
                format!("{}  {}{marks}\n", text(&user["user_id"]), text(&user["kind"]))
            };
            answer["users"].as_array().into_iter().flatten().map(line).collect()
        }
        UserOrder::Set { mark, on, .. } => {
            let what = match mark {
                Mark::Locked => "locked",
                Mark::Suspended => "suspended",
                Mark::Admin => "a server administrator",
            };
            format!("{user} is {what}{}\n", if *on { "" } else { " no more" })
        }
    }
}

/// The list of reports, for people. Reasons were written by users: nothing in them may act on a terminal.
pub fn reports_for_people(answer: &Value) -> String {
    let line = |report: &Value| {
        let reported = &report["reported"];
        let place: Vec<String> =
            ["user_id", "room_id", "event_id"].iter().filter_map(|key| reported[key].as_str()).map(plain).collect();
        let (kind, reporter) = (text(&reported["kind"]), text(&report["reporter"]));
        let reason = plain(report["reason"].as_str().unwrap_or_default());
        format!("{}  {kind} {}  by {reporter}: {reason}\n", report["at"], place.join(" "))
    };
    answer["reports"].as_array().into_iter().flatten().map(line).collect()
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
