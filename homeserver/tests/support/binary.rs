//! The release binary as a process that can be killed.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use homeserver::clock::Clock;

/// How long a start may take under the load of other tests before it counts as none.
const START_MAX: Duration = Duration::from_secs(60);

/// Between two questions whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// `vestibule` with its data in `folder`, anybody may register, and passwords hash quickly.
pub fn command(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .env("VESTIBULE_SERVER__LISTEN", format!("127.0.0.1:{port}"))
        .env("VESTIBULE_SERVER__DATA", folder.join("data"))
        .env("VESTIBULE_SERVER__ROOT_KEY", folder.join("root.key"))
        .env("VESTIBULE_REGISTRATION__OPEN", "true")
        .env("VESTIBULE_LIMITS__ENABLED", "false")
        .env("VESTIBULE_PASSWORDS__MEMORY_KIB", "64")
        .env("VESTIBULE_LOG__FILTER", "error")
        .stderr(Stdio::inherit());
    command
}

/// A server that runs; killed with what holds it, so that a test that fails leaves none.
pub struct Binary {
    child: Child,
}

impl Binary {
    /// Starts it. Answers how long it took until it answered.
    pub async fn start(mut command: Command, port: u16, http: &reqwest::Client) -> (Self, Duration) {
        let stopwatch = Clock::system().stopwatch();
        let child = command.arg("serve").stdout(Stdio::null()).spawn().expect("the binary starts");
        let mut binary = Self { child };
        let url = format!("http://127.0.0.1:{port}/_matrix/client/versions");
        while !http.get(&url).send().await.is_ok_and(|response| response.status() == 200) {
            assert!(binary.child.try_wait().expect("asks").is_none(), "it ended by itself");
            assert!(stopwatch.elapsed() < START_MAX, "it does not come up");
            tokio::time::sleep_until(Clock::system().deadline(ASK_EVERY)).await;
        }
        (binary, stopwatch.elapsed())
    }

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
