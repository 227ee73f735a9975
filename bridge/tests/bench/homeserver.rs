//! A real homeserver, as a process.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{SERVER_NAME, until};

pub struct Server {
    pub url: String,
    child: Child,
}

impl Server {
    pub async fn start(folder: &Path, port: u16, registration: &Path) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        let log = fs::File::create(folder.join("homeserver.log")).unwrap();
        let mut command = match (std::env::var_os("VESTIBULE_BIN"), std::env::var_os("SYNAPSE_PYTHON")) {
            (Some(binary), _) => {
                let mut command = Command::new(binary);
                command.arg("serve").arg("--config").arg(write_vestibule(folder, port, registration));
                command
            }
            (None, Some(python)) => synapse(&python, folder, port, registration),
            (None, None) => panic!("VESTIBULE_BIN must name the homeserver's binary; `./test` builds it and sets it"),
        };
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Self { url, child };
        let http = reqwest::Client::new();
        let versions = format!("{}/_matrix/client/versions", server.url);
        until("the homeserver answers", || async {
            http.get(&versions).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_vestibule(folder: &Path, port: u16, registration: &Path) -> std::path::PathBuf {
    let path = folder.join("vestibule.toml");
    let text = format!(
        "[server]\nname = \"{SERVER_NAME}\"\nlisten = \"127.0.0.1:{port}\"\ndata = \"{}\"\n\
         [registration]\nopen = true\n[limits]\nenabled = false\n[appservices]\nregistrations = [\"{}\"]\n",
        folder.join("homeserver-data").display(),
        registration.display()
    );
    fs::write(&path, text).unwrap();
    path
}

fn synapse(python: &std::ffi::OsStr, folder: &Path, port: u16, registration: &Path) -> Command {
    let path = folder.join("synapse.yaml");
    let generated = Command::new(python)
        .args(["-m", "synapse.app.homeserver", "--generate-config", "--report-stats=no", "--server-name", SERVER_NAME])
        .arg("--data-directory")
        .arg(folder)
        .arg("--config-path")
        .arg(&path)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(generated.success());
    // Later keys win: what matters is said again at the end.
    let more = folder.join("more.yaml");
    let mut text = format!(
        "listeners:\n  - {{port: {port}, bind_addresses: ['127.0.0.1'], type: http, tls: false, resources: [{{names: [client]}}]}}\n\
         enable_registration: true\nenable_registration_without_verification: true\n\
         app_service_config_files: ['{}']\npresence: {{enabled: true}}\n\
         trusted_key_servers: []\n\
         experimental_features:\n  msc2409_to_device_messages_enabled: true\n  msc3202_device_masquerading: true\n  \
         msc3202_transaction_extensions: true\n  msc4190_enabled: true\n",
        registration.display()
    );
    for limit in ["rc_message", "rc_registration", "rc_room_creation"] {
        writeln!(text, "{limit}: {{per_second: 10000, burst_count: 10000}}").unwrap();
    }
    writeln!(text, "rc_invites: {{per_user: {{per_second: 1000, burst_count: 1000}}, per_room: {{per_second: 1000, burst_count: 1000}}}}").unwrap();
    fs::write(&more, text).unwrap();
    let mut command = Command::new(python);
    command.args(["-m", "synapse.app.homeserver", "-c"]).arg(&path).arg("-c").arg(&more).current_dir(folder);
    command
}
