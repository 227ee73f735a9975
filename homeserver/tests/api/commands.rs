//! The binary as an operator meets it: its start, and commands beside it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::binary::Site;

/// Whether a command succeeds, and what it says.
fn say(mut command: Command, arguments: &[&str]) -> (bool, String) {
    let output = command.args(arguments).stderr(Stdio::piped()).output().expect("the command runs");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).expect("text"))
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

#[tokio::test]
async fn a_server_that_calls_nobody_needs_no_certificates_of_the_system() {
    let site = Site::new();
    let mut command = site.command();
    command.env("SSL_CERT_FILE", "missing.pem").env("SSL_CERT_DIR", "");
    site.start(command).await;
}

#[tokio::test]
async fn commands_make_no_server_where_there_is_none() {
    let site = Site::new();
    // As it is without a configuration: everything in the folder one stands in.
    let unconfigured = || {
        let mut command = site.command();
        command.env_remove("VESTIBULE_SERVER__DATA").env_remove("VESTIBULE_SERVER__ROOT_KEY");
        command
    };
    for arguments in
        [&["keys", "create"][..], &["user", "create", "ada"], &["org", "list"], &["retention", "status"], &["usage"]]
    {
        for command in [unconfigured(), site.command()] {
            let (is_done, text) = say(command, arguments);
            assert!(!is_done && text.contains("no server has ever run on") && text.contains("--config"), "{text}");
        }
        assert!(is_empty(site.folder.path()), "{arguments:?}");
    }
    // With the server, and without it.
    let (binary, _) = site.start(site.command()).await;
    assert!(say(site.command(), &["keys", "create"]).0);
    binary.kill();
    assert!(say(site.command(), &["keys", "create"]).0);
}

#[tokio::test]
async fn the_doctor_knows_a_key_from_wherever_it_comes_and_makes_nothing() {
    let site = Site::new();
    let (is_done, text) = say(site.command(), &["doctor"]);
    assert!(is_done && text.contains("good  root key: none yet") && text.contains("good  journal: none yet"), "{text}");
    assert!(is_empty(site.folder.path()));

    let given = || {
        let mut command = site.command();
        command.env("VESTIBULE_ROOT_KEY", "5a".repeat(32));
        command
    };
    let (binary, _) = site.start(given()).await;
    // The operator's shell has not what the server was given.
    let (is_done, text) = say(site.command(), &["doctor"]);
    assert!(is_done && text.contains("good  root key: the running server was given it"), "{text}");
    binary.kill();
    let (is_done, text) = say(site.command(), &["doctor"]);
    assert!(!is_done && text.contains("BAD   root key") && text.contains("BAD   journal"), "{text}");

    let credentials = site.folder.path().join("credentials");
    std::fs::create_dir(&credentials).expect("a folder");
    std::fs::write(credentials.join("vestibule.root_key"), "5a".repeat(32)).expect("writes");
    let mut by_systemd = site.command();
    by_systemd.env("CREDENTIALS_DIRECTORY", &credentials);
    for command in [given(), by_systemd] {
        let (is_done, text) = say(command, &["doctor"]);
        assert!(is_done && text.contains("good  root key: comes from") && text.contains("good  journal"), "{text}");
    }
    let mut broken = site.command();
    broken.env("VESTIBULE_ROOT_KEY", "no key");
    let (is_done, text) = say(broken, &["doctor"]);
    assert!(!is_done && text.contains("BAD   root key: VESTIBULE_ROOT_KEY"), "{text}");
}
