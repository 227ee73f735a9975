//! The release binary as a process that can be killed.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use homeserver::clock::Clock;
use tempfile::TempDir;

/// How long a start or an answer may take under the load of other tests before it counts as none.
const START_MAX: Duration = Duration::from_mins(1);

/// Between two questions whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Where the binary runs: an empty folder and a port that nobody listens on; and a client that asks it.
pub struct Site {
    pub folder: TempDir,
    pub base: String,
    pub http: reqwest::Client,
    listen: String,
}

impl Site {
    pub fn new() -> Self {
        let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
        let listen =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").to_string();
        let http = reqwest::Client::builder().timeout(START_MAX).build().expect("a client");
        Self { folder: tempfile::tempdir().expect("a folder"), base: format!("http://{listen}"), http, listen }
    }

    /// `vestibule` with its data in the folder, anybody may register, and passwords hash quickly.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command
            .current_dir(self.folder.path())
            .env("VESTIBULE_SERVER__LISTEN", &self.listen)
            .env("VESTIBULE_SERVER__DATA", self.folder.path().join("data"))
            .env("VESTIBULE_SERVER__ROOT_KEY", self.folder.path().join("root.key"))
            .env("VESTIBULE_REGISTRATION__OPEN", "true")
            .env("VESTIBULE_LIMITS__ENABLED", "false")
            .env("VESTIBULE_PASSWORDS__MEMORY_KIB", "64")
            .env("VESTIBULE_LOG__FILTER", "error")
            .stderr(Stdio::inherit());
        command
    }

    /// Starts the server that `command` describes. Answers how long it took until it answered.
    pub async fn start(&self, mut command: Command) -> (Binary, Duration) {
        let stopwatch = Clock::system().stopwatch();
        let child = command.arg("serve").stdout(Stdio::null()).spawn().expect("the binary starts");
        let mut binary = Binary { child };
        let url = format!("{}/_matrix/client/versions", self.base);
        while !self.http.get(&url).send().await.is_ok_and(|response| response.status() == 200) {
            assert!(binary.child.try_wait().expect("asks").is_none(), "it ended by itself");
            assert!(stopwatch.elapsed() < START_MAX, "it does not come up");
            tokio::time::sleep_until(Clock::system().deadline(ASK_EVERY)).await;
        }
        (binary, stopwatch.elapsed())
    }
}

/// A server that runs; killed with what holds it, so that a test that fails leaves none.
pub struct Binary {
    child: Child,
}

impl Binary {
    /// SIGKILL: nothing of it runs any more from here on.
    pub fn kill(mut self) {
        self.end().expect("ends");
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may have ended already.
        let _: std::io::Result<()> = self.end();
    }
}
