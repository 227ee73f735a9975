use super::*;

fn vars(pairs: &[(&str, &str)]) -> Vars {
    Vars::new(PREFIX, pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn load(text: &str, pairs: &[(&str, &str)]) -> Result<Config, String> {
    let folder =
        std::env::temp_dir().join(format!("vestibule-config-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("vestibule.toml");
    std::fs::write(&file, text).expect("a file");
    let config = Config::load(Some(&file), vars(pairs)).map_err(|error| error.to_string());
    std::fs::remove_dir_all(&folder).expect("removed");
    config
}

#[test]
fn the_example_is_the_defaults() {
    let example: Config = toml::from_str(EXAMPLE).expect("parses");
    assert_eq!(example, Config::default());
}

#[test]
fn the_example_names_every_key() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let all: toml::Table = toml::from_str(&uncommented).expect("parses");
    let known = Config {
        server: Server { public_url: Some("https://x".to_owned()), ..Server::default() },
        tls: Tls { certificate: Some(PathBuf::from("x")), key: Some(PathBuf::from("x")) },
        media: Media { store: Some(PathBuf::from("x")), ..Media::default() },
        webhooks: Webhooks { url: Some("https://x".to_owned()), ..Webhooks::default() },
        jwt: Jwt { key: Some(PathBuf::from("x")), issuer: Some("x".to_owned()), audience: Some("x".to_owned()) },
        registration: Registration { shared_secret: Some(Hidden::new("x".to_owned())), ..Registration::default() },
        contact: Contact {
            support_page: Some("https://x".to_owned()),
            admin_email: Some("x".to_owned()),
            admin_matrix_id: Some("x".to_owned()),
            security_email: Some("x".to_owned()),
            security_matrix_id: Some("x".to_owned()),
        },
        calls: Calls { livekit_service_url: Some("https://x".to_owned()) },
        ..Config::default()
    };
    let known = toml::Table::try_from(known).expect("writes");
    for (section, keys) in &known {
        for key in keys.as_table().expect("a section").keys() {
            assert!(all[section].get(key).is_some(), "{section}.{key} is not in the example");
        }
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = load(
        "[server]\nname = \"a.example\"\n[retention]\nlifetime = \"1h\"\n",
        &[
            ("VESTIBULE_SERVER__NAME", "b.example"),
            ("VESTIBULE_RETENTION__SLOT", "5s"),
            ("VESTIBULE_LIMITS__ENABLED", "false"),
            ("VESTIBULE_SERVER__LISTEN", "127.0.0.1:9300"),
            ("VESTIBULE_CONFIG", "not a key"),
            ("VESTIBULE_BRIDGE_SERVER__NAME", "the bridge's"),
        ],
    )
    .expect("loads");
    assert_eq!(config.server.name, "b.example");
    assert_eq!(config.retention.lifetime, Span::from_secs(3_600));
    assert_eq!(config.retention.slot, Span::from_secs(5));
    assert!(!config.limits.enabled);
    assert_eq!(config.server.listen.addresses()[0].port(), 9300);
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = load("[server]\ndata = \"here\"\n", &[]).expect("loads");
    assert!(config.server.data.ends_with("here") && config.server.data.is_absolute());
    assert_eq!(config.media_store(), config.server.data.join("media"));
}

#[test]
fn mistakes_are_told_with_their_key() {
    for (text, pairs, parts) in [
        ("[server]\nnam = \"x\"\n", &[][..], &["nam", "vestibule.toml"][..]),
        ("[retention]\nlifetime = \"a day\"\n", &[], &["retention.lifetime", "such as"]),
        ("[retention]\nlifetime = 24\n", &[], &["retention.lifetime"]),
        ("[server]\nlisten = \"0.0.0.0:8008\"\n", &[], &["server.listen", "behind_proxy"]),
        ("[server]\nlisten = []\n", &[], &["server.listen"]),
        ("", &[("VESTIBULE_MEDIA__SIZE_MAX", "big")], &["media.size_max", "environment"]),
        ("[retention]\nslot = \"2d\"\n", &[], &["retention.slot"]),
        ("[server]\nroot_key = \"data/root.key\"\n", &[], &["server.root_key"]),
        ("[contact]\nsupport_page = \"help\"\n", &[], &["contact.support_page"]),
        ("[previews]\nallow = [\"10.0.0.0/33\"]\n", &[], &["previews.allow", "such as"]),
        ("[rooms]\ndefault_version = \"3\"\n", &[], &["rooms.default_version"]),
        ("[push]\ntrusted_gateways = [\"127.0.0.1:7000\"]\n", &[], &["push.trusted_gateways"]),
    ] {
        let error = load(text, pairs).expect_err(text);
        for part in parts {
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let error = Config::load(Some(Path::new("/nowhere/vestibule.toml")), Vars::default()).expect_err("missing");
    assert!(error.to_string().contains("config example"));
}

#[test]
fn other_machines_are_let_in_over_tls_only() {
    let open = "[server]\nlisten = \"0.0.0.0:8448\"\n";
    let problem = load(open, &[]).expect_err("plain HTTP");
    assert!(problem.contains("tls.certificate and tls.key"), "{problem}");
    let config = load(&format!("{open}[tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n"), &[]).expect("loads");
    assert!(config.tls.key.is_some_and(|path| path.is_absolute()));
    assert!(load(&format!("{open}[tls]\ncertificate = \"a.pem\"\n"), &[]).expect_err("no key").contains("name both files"));
}
