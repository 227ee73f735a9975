//! `vestibule`: the homeserver and its commands.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use config::{Config, LogFormat, Vars, homeserver::PREFIX};
use homeserver::clock::Clock;
use homeserver::{client, http, start, workers};
use tokio::signal::unix::{SignalKind, signal};

/// A slim Matrix homeserver for waiting rooms.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; the defaults and the environment without one.
    #[arg(long, short, global = true, env = "VESTIBULE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server until SIGTERM or SIGINT.
    Serve,
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints every key with its default and what it means.
    Example,
    /// Says whether the configuration can be used.
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vestibule: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Command::Config(ConfigCommand::Example) = arguments.command {
        print!("{}", config::homeserver::EXAMPLE);
        return Ok(());
    }
    let config = Config::load(arguments.config.as_deref(), Vars::of_process(PREFIX))?;
    match arguments.command {
        Command::Config(_) => {
            println!("the configuration can be used");
            Ok(())
        }
        Command::Serve => {
            log(&config)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
            runtime.block_on(serve(config))
        }
    }
}

fn log(config: &Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.filter).context("log.filter")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let addresses = config.server.listen.addresses().to_vec();
    // Before anything else: two signals at start must not kill it half-way, and as PID 1 there is no default handler.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = start::open(config, Clock::system(), None).await?;
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(http::listen::bind(address).await?);
        tracing::info!(%address, "listening");
    }
    let router = client::routes().into_router(&app);
    workers::start(&app);
    let ending = app.clone();
    app.tasks.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = ending.tasks.ended() => {}
        }
        tracing::info!("ending: waiting for running requests");
        ending.end();
    });
    http::listen::serve(&app, listeners, router).await;
    app.end();
    app.tasks.wait().await;
    Ok(())
}
