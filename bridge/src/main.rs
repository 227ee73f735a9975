//! `vestibule-bridge`: support staff in an end-to-end encrypted chat.
//!
//! One Matrix user, one device, one helpdesk behind a small trait. See `serve` for how the parts are put together.

mod attachment;
mod clock;
mod config;
mod content;
mod database;
mod desk;
mod device;
mod matrix;
mod receive;
mod seal;
mod serve;
mod store;
mod typing;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use appservice::{RegistrationFile, Token};
use clap::{Parser, Subcommand};

use crate::config::{Config, EXAMPLE};

/// The support bridge of a Vestibule homeserver: people chat with @support, agents answer on a page.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
First steps:
  1. vestibule-bridge config example > bridge.toml     (set homeserver.name and desk.password)
  2. vestibule-bridge registration --config bridge.toml
  3. name the file it wrote in the homeserver's vestibule.toml, under [appservices] registrations, and restart it
  4. vestibule-bridge serve --config bridge.toml
  5. agents open the desk's address in a browser, sign in, and go on duty"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the bridge and the desk until SIGTERM or SIGINT
    Serve {
        /// The configuration file
        #[arg(long, env = "VESTIBULE_BRIDGE_CONFIG", default_value = "bridge.toml")]
        config: PathBuf,
    },
    /// Writes the registration file the homeserver needs; keeps the tokens of one that is there
    Registration {
        /// The configuration file
        #[arg(long, env = "VESTIBULE_BRIDGE_CONFIG", default_value = "bridge.toml")]
        config: PathBuf,
        /// Make new tokens: the homeserver must read the file again
        #[arg(long)]
        new_tokens: bool,
    },
    /// About the configuration file
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints a configuration file with every key explained
    Example,
    /// Reads the configuration and says what is wrong with it
    Check {
        /// The configuration file
        #[arg(long, env = "VESTIBULE_BRIDGE_CONFIG", default_value = "bridge.toml")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "vestibule-bridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { config } => serve::run(Config::read(&config)?),
        Command::Registration { config, new_tokens } => write_registration(&Config::read(&config)?, new_tokens),
        Command::Config { command: ConfigCommand::Example } => Ok(std::io::stdout().write_all(EXAMPLE.as_bytes())?),
        Command::Config { command: ConfigCommand::Check { config } } => {
            let config = Config::read(&config)?;
            config.desk_password()?;
            Ok(writeln!(std::io::stdout(), "The configuration is fine.")?)
        }
    }
}

fn write_registration(config: &Config, new_tokens: bool) -> anyhow::Result<()> {
    let path = &config.appservice.registration;
    let (as_token, hs_token) = if path.exists() && !new_tokens {
        let before = RegistrationFile::read(path)?;
        (before.as_token(), before.hs_token())
    } else {
        (Token::random()?, Token::random()?)
    };
    let localpart = &config.appservice.localpart;
    let regex = escape(&format!("@{localpart}:{}", config.homeserver.name));
    let registration = RegistrationFile::for_one_user(
        "vestibule-bridge",
        &config.appservice_url(),
        &as_token,
        &hs_token,
        localpart,
        &regex,
    );
    registration.write(path).context("the registration can't be written")?;
    let mut out = std::io::stdout();
    writeln!(out, "Wrote {}. Name it in the homeserver's configuration and restart the homeserver:", path.display())?;
    writeln!(out, "\n[appservices]\nregistrations = [\"{}\"]", path.display())?;
    Ok(())
}

/// A user id as a regular expression that matches it alone.
fn escape(user_id: &str) -> String {
    user_id.chars().fold(String::new(), |mut escaped, character| {
        if !(character.is_ascii_alphanumeric() || "@:_-=/".contains(character)) {
            escaped.push('\\');
        }
        escaped.push(character);
        escaped
    })
}
