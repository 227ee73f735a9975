//! `vestibule org | account | host | session | usage | audit`: the platform API's calls, for people at the server's terminal.

use clap::{Args, Subcommand, ValueEnum};
use config::{Bytes, Span};
use homeserver::clock::Clock;
use homeserver::control::Order;
use serde_json::{Map, Value, json};

use super::moment::rfc3339;

/// `vestibule org`
#[derive(Debug, Subcommand)]
#[command(after_help = "An organization is a tenant: its hosts may chat with each other. For example:\n  \
    vestibule org put acme --name 'Acme Health'\n  vestibule account put acme north --name 'North Clinic'\n  \
    vestibule host put ada --organization acme --account north --name 'Ada Byron'\n  \
    vestibule session put visit-1 --host ada --ends-in 2h --invitee pat='Pat Doe'")]
pub enum OrgCommand {
    /// Make or rename an organization.
    Put {
        /// The platform's id.
        organization: String,
        /// What people call it.
        #[arg(long)]
        name: String,
    },
    /// Show one.
    Get {
        /// The platform's id.
        organization: String,
    },
    /// List them.
    List(Paging),
    /// Delete one that has no accounts.
    Delete {
        /// The platform's id.
        organization: String,
    },
}

/// `vestibule account`
#[derive(Debug, Subcommand)]
#[command(
    after_help = "An account is a part of an organization. Chat is switched off for its hosts and their participants with\n  \
    vestibule account put acme north --name 'North Clinic' --chat off\nThey can still reach support, and read what is there.\n\
    Their text is kept for a week with\n  vestibule account put acme north --name 'North Clinic' --text-retention 7d"
)]
pub enum AccountCommand {
    /// Make or change an account; what is not said stays as it is.
    Put {
        /// The organization.
        organization: String,
        /// The platform's id of the account.
        account: String,
        /// What people call it.
        #[arg(long)]
        name: String,
        /// Whether its hosts and their participants may chat.
        #[arg(long)]
        chat: Option<Switch>,
        /// What each of them may upload in any 24 hours, such as 2GB.
        #[arg(long)]
        upload_per_day: Option<Bytes>,
        /// How long their text is kept, such as 7d: 1 to 7, 14 or 30 times `retention.lifetime`.
        #[arg(long)]
        text_retention: Option<Span>,
    },
    /// Show one.
    Get {
        /// The organization.
        organization: String,
        /// The platform's id of the account.
        account: String,
    },
    /// List an organization's.
    List {
        /// The organization.
        organization: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Delete one that has no hosts.
    Delete {
        /// The organization.
        organization: String,
        /// The platform's id of the account.
        account: String,
    },
}

/// `vestibule host`
#[derive(Debug, Subcommand)]
#[command(
    after_help = "A host belongs to an account and may start chats. `put` prints the recovery key once, when it makes the host: it opens\n\
    the host's encrypted messages on each new device, and cannot be had again."
)]
pub enum HostCommand {
    /// Make a host, or change the name or account of one.
    Put {
        /// The platform's id.
        host: String,
        /// The organization.
        #[arg(long)]
        organization: String,
        /// The account.
        #[arg(long)]
        account: String,
        /// The name, without the account.
        #[arg(long)]
        name: String,
    },
    /// Show one.
    Get {
        /// The platform's id.
        host: String,
    },
    /// List all, or an organization's.
    List {
        /// Only those of this organization.
        #[arg(long)]
        organization: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// End a host's sessions, log the host out everywhere, and delete the host.
    Delete {
        /// The platform's id.
        host: String,
    },
}

/// `vestibule session`
#[derive(Debug, Subcommand)]
#[command(after_help = "A session is a planned visit. For example, one of two hours with two invitees:\n  \
    vestibule session put visit-1 --host ada --ends-in 2h --invitee pat='Pat Doe' --invitee sam='Sam Roe'\n\
    `put` says the whole of it: invitees who are left out are logged out. Recovery keys are printed once.")]
pub enum SessionCommand {
    /// Make, change or move a session.
    Put {
        /// The platform's id.
        session: String,
        /// The platform's id of the host.
        #[arg(long)]
        host: String,
        /// From now until it is over, such as 90m or 2h.
        #[arg(long)]
        ends_in: Span,
        /// Somebody invited: the platform's id, `=`, and the name the host sees. May be given several times.
        #[arg(long = "invitee", value_parser = invitee)]
        invitees: Vec<(String, String)>,
    },
    /// Show one.
    Get {
        /// The platform's id.
        session: String,
    },
    /// List all, or a host's.
    List {
        /// Only those of this host.
        #[arg(long)]
        host: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// End one now: its participants are logged out, and can't log in again.
    End {
        /// The platform's id.
        session: String,
    },
    /// End one and erase its participants now, instead of when what they wrote has expired.
    Delete {
        /// The platform's id.
        session: String,
    },
}

/// Which page of a list.
#[derive(Debug, Args)]
pub struct Paging {
    /// What the page before said comes next.
    #[arg(long)]
    after: Option<String>,
    /// Items wanted: 1,000 at most.
    #[arg(long)]
    limit: Option<u64>,
}

/// `--chat`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// They may.
    On,
    /// Only support can be reached.
    Off,
}

fn invitee(text: &str) -> Result<(String, String), String> {
    let (id, name) = text.split_once('=').ok_or("write it as id='Name that the host sees'")?;
    Ok((id.to_owned(), name.to_owned()))
}

fn order<const N: usize>(call: &str, params: [String; N], query: String, body: Value) -> Order {
    Order::Platform { call: call.to_owned(), params: params.into(), query, body }
}

fn query(paging: Paging, only: &str, value: Option<String>) -> String {
    let limit = paging.limit.map(|limit| limit.to_string());
    let pairs = [(only, value), ("after", paging.after), ("limit", limit)];
    let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    serde_html_form::to_string(pairs).unwrap_or_default()
}

impl From<OrgCommand> for Order {
    fn from(command: OrgCommand) -> Self {
        match command {
            OrgCommand::Put { organization, name } => {
                order("put_organization", [organization], String::new(), json!({ "name": name }))
            }
            OrgCommand::Get { organization } => order("get_organization", [organization], String::new(), Value::Null),
            OrgCommand::List(paging) => order("list_organizations", [], query(paging, "", None), Value::Null),
            OrgCommand::Delete { organization } => order("delete_organization", [organization], String::new(), Value::Null),
        }
    }
}

impl From<AccountCommand> for Order {
    fn from(command: AccountCommand) -> Self {
        match command {
            AccountCommand::Put { organization, account, name, chat, upload_per_day, text_retention } => {
                let mut body = Map::from_iter([("name".to_owned(), Value::from(name))]);
                body.extend(chat.map(|chat| ("chat_enabled".to_owned(), (chat == Switch::On).into())));
                body.extend(upload_per_day.map(|bytes| ("upload_per_day".to_owned(), bytes.get().into())));
                body.extend(text_retention.map(|span| ("text_retention".to_owned(), span.as_ms().into())));
                order("put_account", [organization, account], String::new(), Value::Object(body))
            }
            AccountCommand::Get { organization, account } => {
                order("get_account", [organization, account], String::new(), Value::Null)
            }
            AccountCommand::List { organization, paging } => {
                order("list_accounts", [organization], query(paging, "", None), Value::Null)
            }
            AccountCommand::Delete { organization, account } => {
                order("delete_account", [organization, account], String::new(), Value::Null)
            }
        }
    }
}

impl From<HostCommand> for Order {
    fn from(command: HostCommand) -> Self {
        match command {
            HostCommand::Put { host, organization, account, name } => {
                let body = json!({ "organization": organization, "account": account, "display_name": name });
                order("put_host", [host], String::new(), body)
            }
            HostCommand::Get { host } => order("get_host", [host], String::new(), Value::Null),
            HostCommand::List { organization, paging } => {
                order("list_hosts", [], query(paging, "organization", organization), Value::Null)
            }
            HostCommand::Delete { host } => order("delete_host", [host], String::new(), Value::Null),
        }
    }
}

impl From<SessionCommand> for Order {
    fn from(command: SessionCommand) -> Self {
        match command {
            SessionCommand::Put { session, host, ends_in, invitees } => {
                let invitees = invitees.into_iter().map(|(id, name)| json!({ "id": id, "display_name": name }));
                let ends_at = Clock::system().now().plus_ms(ends_in.as_ms());
                let body = json!({ "host": host, "invitees": invitees.collect::<Vec<_>>(), "ends_at": ends_at.as_ms() });
                order("put_session", [session], String::new(), body)
            }
            SessionCommand::Get { session } => order("get_session", [session], String::new(), Value::Null),
            SessionCommand::List { host, paging } => order("list_sessions", [], query(paging, "host", host), Value::Null),
            SessionCommand::End { session } => order("end_session", [session], String::new(), Value::Null),
            SessionCommand::Delete { session } => order("delete_session", [session], String::new(), Value::Null),
        }
    }
}

/// `vestibule usage`
pub fn usage(organization: Option<String>) -> Order {
    let query =
        organization.map(|organization| serde_html_form::to_string([("organization", organization)]).unwrap_or_default());
    order("usage", [], query.unwrap_or_default(), Value::Null)
}

/// `vestibule audit`
pub fn audit(paging: Paging) -> Order {
    order("audit", [], query(paging, "", None), Value::Null)
}

/// An answer of the platform API for people: a line for each thing of a list, else a line for each member.
pub fn for_people(answer: &Value) -> String {
    if let Some(items) = answer["items"].as_array() {
        let mut lines: String = items.iter().map(|item| in_a_line(item) + "\n").collect();
        if let Some(next) = answer["next"].as_str() {
            lines += &format!("there is more: --after {next}\n");
        }
        return if lines.is_empty() { "none\n".to_owned() } else { lines };
    }
    let members = answer.as_object().cloned().unwrap_or_default();
    if members.is_empty() {
        return "done\n".to_owned();
    }
    let mut lines = String::new();
    for (name, value) in &members {
        match value.as_array() {
            Some(all) => lines.extend(all.iter().map(|item| format!("{name}: {}\n", in_a_line(item)))),
            None => lines += &format!("{name}: {}\n", member(name, value)),
        }
    }
    if answer.to_string().contains("\"recovery_key\"") {
        lines += "Keep the recovery key: it is shown this once.\n";
    }
    lines
}

fn in_a_line(item: &Value) -> String {
    let Some(members) = item.as_object() else { return text(item) };
    members.iter().map(|(name, value)| format!("{name}={}", member(name, value))).collect::<Vec<_>>().join("  ")
}

/// The platform API tells moments in milliseconds since 1970: people are told them by the calendar.
fn member(name: &str, value: &Value) -> String {
    match (name, value.as_u64()) {
        ("at" | "ends_at", Some(ms)) => rfc3339(ms),
        _ => text(value),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::for_people;

    #[test]
    fn people_are_told_moments_by_the_calendar() {
        let trail =
            json!({ "items": [{ "action": "keys create", "at": 1_795_478_399_999_u64, "objects": ["k"], "status": 200 }] });
        assert_eq!(for_people(&trail), "action=keys create  at=2026-11-23T23:59:59.999Z  objects=[\"k\"]  status=200\n");
        let session = json!({ "ended": false, "ends_at": 0, "invitees": [], "session": "s" });
        assert_eq!(for_people(&session), "ended: false\nends_at: 1970-01-01T00:00:00.000Z\nsession: s\n");
    }
}
