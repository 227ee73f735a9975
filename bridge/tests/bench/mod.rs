//! The bench of the bridge's tests: a real homeserver, the real bridge as a process that can be killed, a person with real
//! end-to-end encryption, and an agent at the desk's own HTTP calls.
//!
//! The homeserver is Vestibule (`VESTIBULE_BIN` names its binary; `./test` sets it) or, to see that nothing depends on
//! that, a Synapse (`SYNAPSE_PYTHON` names a Python that has it installed).
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "one bench for several test programs, each using its part; a test fails by panicking"
)]

pub mod agent;
pub mod homeserver;
pub mod person;
pub mod relay;

use std::{
    future::Future,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub use agent::Agent;
pub use homeserver::Server;
pub use person::Person;
pub use relay::Relay;

/// How long anything may take before a test gives up on it. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(100);

pub const PASSWORD: &str = "correct horse battery";
pub const SERVER_NAME: &str = "bridge.test";
pub const SUPPORT: &str = "@support:bridge.test";

/// A port nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Looks until `look` finds something.
pub async fn until<T, F, L>(what: &str, mut look: L) -> T
where
    L: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Everything a test needs, in one temporary folder.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub server: Server,
    pub relay: Relay,
    pub bridge: Bridge,
}

impl Bench {
    /// Starts a homeserver with the bridge registered, and the bridge; `retention` is a `[retention]` section.
    pub async fn start(retention: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let appservice_port = free_port();
        let relay = Relay::start(appservice_port).await;
        let homeserver_port = free_port();
        let bridge = Bridge::prepare(folder.path(), homeserver_port, appservice_port, &relay, retention);
        bridge.registration();
        let server = Server::start(folder.path(), homeserver_port, &folder.path().join("vestibule-bridge.yaml")).await;
        let mut bench = Self { folder, server, relay, bridge };
        bench.bridge.start().await;
        bench
    }

    pub async fn person(&self, name: &str) -> Person {
        Person::register(&self.server.url, name).await
    }

    pub async fn agent(&self, name: &str) -> Agent {
        Agent::sign_in(&self.bridge.desk, name).await
    }
}

/// The bridge, as a process.
pub struct Bridge {
    config: PathBuf,
    pub desk: String,
    pub appservice: String,
    child: Option<Child>,
}

impl Bridge {
    fn prepare(folder: &Path, homeserver: u16, appservice: u16, relay: &Relay, retention: &str) -> Self {
        let desk = free_port();
        let config = folder.join("bridge.toml");
        let text = format!(
            "[homeserver]\nurl = \"http://127.0.0.1:{homeserver}\"\nname = \"{SERVER_NAME}\"\n\
             [appservice]\nlisten = \"127.0.0.1:{appservice}\"\nurl = \"{}\"\n\
             [desk]\nlisten = \"127.0.0.1:{desk}\"\npassword = \"{PASSWORD}\"\n{retention}\n",
            relay.url
        );
        std::fs::write(&config, text).unwrap();
        let (desk, appservice) = (format!("http://127.0.0.1:{desk}"), format!("http://127.0.0.1:{appservice}"));
        Self { config, desk, appservice, child: None }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule-bridge"));
        command.arg(name).arg("--config").arg(&self.config);
        command
    }

    fn registration(&self) {
        let made = self.command("registration").stdout(Stdio::null()).status().unwrap();
        assert!(made.success());
    }

    /// Starts the process and waits until the desk answers.
    pub async fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        self.child = Some(self.command("serve").stderr(log).spawn().unwrap());
        let http = reqwest::Client::new();
        until("the desk answers", || async { http.get(&self.desk).send().await.ok() }).await;
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, as a service manager does; says whether it ended well.
    pub async fn terminate(&mut self) -> bool {
        let mut child = self.child.take().expect("it runs");
        let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
        until("the bridge ends", || {
            let ended = child.try_wait().unwrap();
            async move { ended }
        })
        .await
        .success()
    }

    fn log_path(&self) -> PathBuf {
        self.config.with_file_name("bridge.log")
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    pub fn data(&self) -> PathBuf {
        self.config.with_file_name("bridge-data")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the bridge's log\n{}", std::fs::read_to_string(self.log_path()).unwrap_or_default());
        }
    }
}
