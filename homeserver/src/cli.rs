//! What is typed after `vestibule`, and how its answers look.

mod identities;
mod moment;
mod platform;
mod promise;
mod users;

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::{Parser, Subcommand};
use config::Config;
use engine::tables::Scope;
use homeserver::clock::Clock;
use homeserver::control::{self, Order, Progress};
use homeserver::start;
use journal::RootKey;
use serde_json::{Value, json};

use identities::Identities;
use platform::{AccountCommand, HostCommand, OrgCommand, Paging, SessionCommand, audit, usage};
pub use promise::restore;
use users::UserCommand;

/// A slim Matrix homeserver for waiting rooms.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// The configuration file; without one, the defaults and the environment.
    #[arg(long, short, global = true, env = "VESTIBULE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. All but `serve` work while the server runs, and when it doesn't; none but `serve` and `restore` makes a data folder.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until SIGTERM or SIGINT.
    Serve,
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Keys of the platform interface.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Organizations: the tenants.
    #[command(subcommand)]
    Org(OrgCommand),
    /// Accounts: the parts of an organization.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Hosts: people who may start chats.
    #[command(subcommand)]
    Host(HostCommand),
    /// Sessions, with the people invited to them.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Make encrypted identities on the platform's side, so that the server never has what opens them. Reads no configuration and asks no
    /// server; prints a line of JSON for each, with the recovery key.
    #[command(
        after_help = "Keep `recovery_key`, and put `identity` into the call that makes the host or invitee. For example:\n  \
        vestibule identity --server-name chat.example.org --participant\n  \
        PUT /sessions/visit-1 {\"host\": \"ada\", \"ends_at\": …, \"invitees\": [{\"id\": \"pat\", …, \"identity\": {…}}]}\n\
        Run it where the platform's back end runs, not at the server's terminal: what it prints opens people's messages."
    )]
    Identity(Identities),
    /// How much there is.
    Usage {
        /// Only of this organization.
        #[arg(long)]
        organization: Option<String>,
    },
    /// Who called the platform API or signed in, and when.
    Audit(Paging),
    /// Accounts that are not the platform's.
    #[command(subcommand)]
    User(UserCommand),
    /// What users have reported.
    #[command(subcommand)]
    Reports(ReportsCommand),
    /// How long things are kept.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Erase a user or a room now, with all that hangs on it, and rewrite the journal's files without it.
    Erase(promise::Erase),
    /// Make a backup while the server runs, or bring the one in that folder up to date. It holds no key of messages and files: what
    /// expires here cannot be read there either.
    Backup {
        /// A folder of its own, outside the data folder.
        folder: PathBuf,
    },
    /// Put a backup back, where there is no journal; without a running server. With the keyring in its place, what has not expired is
    /// readable again; what has expired since stays gone.
    Restore {
        /// The folder that `backup` was given.
        folder: PathBuf,
    },
    /// The keys of what is stored.
    #[command(subcommand)]
    Keyring(promise::KeyringCommand),
    /// Look for what is wrong.
    Doctor,
}

/// `vestibule config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every key with its default and what it means.
    Example,
    /// Say whether the configuration can be used.
    Check,
}

/// `vestibule keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it: it is shown this once.
    #[command(after_help = "For the platform's back end: vestibule keys create\n\
        For a dashboard that only looks, for a quarter: vestibule keys create --scope read --lifetime 90d")]
    Create {
        /// What it may be used for: read, provision, login, erase, audit, or platform for all of it. May be given several times.
        #[arg(long = "scope", value_parser = scope)]
        scopes: Vec<Scope>,
        /// How long it can be used, such as 90d; until it is revoked unless given.
        #[arg(long)]
        lifetime: Option<config::Span>,
    },
    /// List keys, without the keys themselves.
    List,
    /// Make a key useless.
    Revoke {
        /// Its id, as `keys list` shows it.
        id: String,
    },
}

/// `vestibule reports`
#[derive(Debug, Subcommand)]
pub enum ReportsCommand {
    /// List reports that have not expired: when, what, by whom, why.
    List,
}

/// `vestibule retention`
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// What is kept, until when.
    Status,
    /// Prove that something is gone: every file is searched as it is, and every sealed value in it, deleted ones too, is opened with
    /// every key that exists. Says where it looked, and ends with status 0 if it is in none of these places, 2 if it was found.
    Prove(promise::Prove),
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
    known.ok_or_else(|| format!("one of {}", Scope::ALL.map(Scope::as_str).join(", ")))
}

impl From<KeysCommand> for Order {
    fn from(command: KeysCommand) -> Self {
        match command {
            KeysCommand::Create { scopes, lifetime } => {
                Self::KeysCreate { scopes, lifetime_ms: lifetime.map(config::Span::as_ms) }
            }
            KeysCommand::List => Self::KeysList,
            KeysCommand::Revoke { id } => Self::KeysRevoke { id },
        }
    }
}

impl From<ReportsCommand> for Order {
    fn from(command: ReportsCommand) -> Self {
        match command {
            ReportsCommand::List => Self::ReportsList,
        }
    }
}

impl Command {
    /// What the server is asked to do.
    pub fn order(self) -> anyhow::Result<Order> {
        Ok(match self {
            Self::Keys(command) => command.into(),
            Self::Org(command) => command.into(),
            Self::Account(command) => command.into(),
            Self::Host(command) => command.into(),
            Self::Session(command) => command.into(),
            Self::Usage { organization } => usage(organization),
            Self::Audit(paging) => audit(paging),
            Self::User(command) => Order::User(command.order()?),
            Self::Reports(command) => command.into(),
            Self::Retention(RetentionCommand::Status) => Order::RetentionStatus,
            Self::Retention(RetentionCommand::Prove(prove)) => prove.try_into()?,
            Self::Erase(erase) => erase.try_into()?,
            Self::Backup { folder } => promise::backup_order(&folder)?,
            Self::Keyring(command) => command.try_into()?,
            Self::Serve | Self::Config(_) | Self::Identity(_) | Self::Restore { .. } | Self::Doctor => {
                bail!("this is not asked of a server")
            }
        })
    }
}

/// Carries out an order, in the running server or without one, and prints the answer.
pub fn order(config: Config, order: Order, json: bool, root_key: Option<RootKey>) -> anyhow::Result<ExitCode> {
    let answer = carry_out(config, &order, json, root_key)?;
    if json {
        println!("{answer}");
    } else {
        print!("{}", for_people(&order, &answer));
    }
    Ok(if promise::is_refuted(&order, &answer) { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn carry_out(config: Config, order: &Order, json: bool, root_key: Option<RootKey>) -> anyhow::Result<Value> {
    let progress: Progress = Arc::new(move |line| {
        if !json {
            eprintln!("{line}");
        }
    });
    match control::ask(&config.server.data, order, &progress) {
        Some(answer) => answer.map_err(|error| anyhow!(error)),
        None if start::has_store(&config) => carry_out_here(config, order, &progress, root_key),
        None => bail!(
            "no server has ever run on {}: name the server's configuration by --config or VESTIBULE_CONFIG, or start it first",
            config.server.data.display()
        ),
    }
}

/// Without a server that runs.
fn carry_out_here(config: Config, order: &Order, progress: &Progress, root_key: Option<RootKey>) -> anyhow::Result<Value> {
    crate::runtime()?.block_on(async {
        let app = start::open(config, Clock::system(), root_key).await?;
        let answer = control::execute(&app, order.clone(), progress).await.map_err(|error| anyhow!(error.sentence()));
        app.end();
        app.tasks.wait().await;
        app.journal.close().context("the journal did not close cleanly")?;
        answer
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn for_people(order: &Order, answer: &Value) -> String {
    match order {
        Order::KeysCreate { .. } => {
            format!(
                "{}\n\nThis is key {}; it is shown this once. Send it as `Authorization: Bearer …`.\n",
                text(&answer["key"]),
                text(&answer["id"])
            )
        }
        Order::KeysList => {
            let keys = answer["keys"].as_array().cloned().unwrap_or_default();
            keys.iter().map(|key| format!("{}  {}\n", text(&key["id"]), key["scopes"])).collect()
        }
        Order::KeysRevoke { .. } => format!("key {} opens nothing any more\n", text(&answer["id"])),
        Order::Platform { .. } => platform::for_people(answer),
        Order::User(order) => users::users_for_people(order, answer),
        Order::ReportsList => users::reports_for_people(answer),
        Order::Promise(order) => promise::for_people(order, answer),
        Order::Health => format!("{} runs, {} batches\n", text(&answer["server"]), answer["batches"]),
        Order::RetentionStatus => promise::status(answer),
    }
}

/// Looks at everything that a start needs, and says what is wrong. Before the first start nothing is, and nothing is made.
pub fn doctor(config: Config, json: bool, root_key: anyhow::Result<Option<RootKey>>) -> anyhow::Result<()> {
    let silent: Progress = Arc::new(|_| ());
    let running = control::ask(&config.server.data, &Order::Health, &silent);
    let key = root_key_finding(&config, &root_key, running.is_some());
    let journal = match running {
        Some(answer) => answer.map(|health| for_people(&Order::Health, &health).trim().to_owned()),
        None if start::has_store(&config) => root_key
            .and_then(|root_key| carry_out_here(config, &Order::Health, &silent, root_key))
            .map(|health| format!("of {}, {} batches; the server does not run", text(&health["server"]), health["batches"]))
            .map_err(|error| format!("{error:#}")),
        None => Ok(format!("none yet: the first start makes it in {}", config.server.data.display())),
    };
    let findings = [("root key", key), ("journal", journal)];
    let failed = findings.iter().filter(|(_, finding)| finding.is_err()).count();
    if json {
        let findings = findings.iter().map(|(what, finding)| match finding {
            Ok(text) => json!({ "check": what, "ok": true, "text": text }),
            Err(text) => json!({ "check": what, "ok": false, "text": text }),
        });
        println!("{}", json!({ "findings": findings.collect::<Vec<_>>() }));
    } else {
        for (what, finding) in &findings {
            match finding {
                Ok(text) => println!("good  {what}: {text}"),
                Err(text) => println!("BAD   {what}: {text}"),
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", findings.len());
    }
    Ok(())
}

/// `given` is the key that comes from elsewhere than the file. A server that runs has been given one, or has read the file.
fn root_key_finding(config: &Config, given: &anyhow::Result<Option<RootKey>>, is_running: bool) -> Result<String, String> {
    match given {
        Err(error) => return Err(format!("{error:#}")),
        Ok(Some(_)) => return Ok("comes from the environment or systemd's credentials".to_owned()),
        Ok(None) => {}
    }
    let place = config.server.root_key.display();
    match std::fs::metadata(&config.server.root_key) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 == 0 => Ok(format!("{place}, readable by its owner only")),
        Ok(_) => Err(format!("{place} can be read by others: run `chmod 600 {place}`")),
        Err(_) if is_running => Ok("the running server was given it".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound && !start::has_store(config) => {
            Ok(format!("none yet: the first start makes {place}, unless it is given another"))
        }
        Err(error) => Err(format!(
            "{place}: {error}; a server that is given the key by the environment or systemd's credentials is asked while it runs"
        )),
    }
}
