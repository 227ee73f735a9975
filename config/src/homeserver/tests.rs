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
        tls: Tls { certificate: Some(PathBuf::from("x")), key: Some(PathBuf::from("x")), acme: Some(acme()) },
        webhooks: Webhooks { url: Some("https://x".to_owned()), ..Webhooks::default() },
        jwt: Jwt { key: Some(PathBuf::from("x")), issuer: Some("x".to_owned()), audience: Some("x".to_owned()) },
        media: Media { store: Some(PathBuf::from("x")), s3: Some(bucket()), ..Media::default() },
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
        for (key, value) in keys.as_table().expect("a section") {
            let example = all[section].get(key);
            assert!(example.is_some(), "{section}.{key} is not in the example");
            for inner in value.as_table().into_iter().flat_map(toml::Table::keys) {
                assert!(
                    example.and_then(|table| table.get(inner)).is_some(),
                    "{section}.{key}.{inner} is not in the example"
                );
            }
        }
    }
}

fn bucket() -> S3 {
    S3 {
        bucket: "files".to_owned(),
        endpoint: Some("http://127.0.0.1:9000".to_owned()),
        region: "any".to_owned(),
        prefix: String::new(),
        access_key_id: "id".to_owned(),
        secret_access_key_file: PathBuf::from("secret"),
    }
}

fn acme() -> Acme {
    let path = || Some(PathBuf::from("x"));
    Acme { contact: Some("x".to_owned()), cache: path(), root: path(), ..Acme::default() }
}

#[test]
fn files_lie_in_a_folder_or_in_a_bucket() {
    let text = "[media.s3]\nbucket = \"b\"\nregion = \"r\"\naccess_key_id = \"i\"\nsecret_access_key_file = \"s\"\n";
    let s3 = load(text, &[]).expect("loads").media.s3.expect("a bucket");
    assert!(s3.secret_access_key_file.is_absolute());
    let both = format!("[media]\nstore = \"here\"\n{text}");
    assert!(load(&both, &[]).expect_err("both").contains("not both"));
    let endpoint = [("VESTIBULE_MEDIA__S3__ENDPOINT", "objects.example.org")];
    assert!(load(text, &endpoint).expect_err("no address").contains("write it as an address"));
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
        ("[retention]\nslot = \"999ms\"\n", &[], &["retention.slot", "1s"]),
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

#[test]
fn a_certificate_comes_from_files_or_by_acme() {
    let server = "[server]\nname = \"Chat.example.org:8448\"\nlisten = \"0.0.0.0:8448\"\n";
    let agreed = "[tls.acme]\nterms_of_service_agreed = true\n";
    let config = load(&format!("{server}{agreed}root = \"ca.pem\"\n"), &[]).expect("loads");
    let acme = config.tls.acme.as_ref().expect("configured");
    assert!(acme.directory.starts_with("https://acme-v02.api.letsencrypt.org/"));
    assert_eq!(acme.domains(&config.server.name), ["chat.example.org"]);
    assert!(acme.root.as_ref().is_some_and(|path| path.is_absolute()));
    assert_eq!(config.acme_cache(), config.server.data.join("acme"));

    let domains = [("VESTIBULE_TLS__ACME__DOMAINS", "[\"b.example.org\", \"A.example.org\", \"b.example.org\"]")];
    let config = load(&format!("{server}{agreed}cache = \"there\"\n"), &domains).expect("loads");
    assert_eq!(config.tls.acme.as_ref().expect("configured").domains("x"), ["a.example.org", "b.example.org"]);
    assert!(config.acme_cache().ends_with("there") && config.acme_cache().is_absolute());

    let files = "[tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n";
    for (text, parts) in [
        (format!("{server}{files}{agreed}"), &["tls", "not both"][..]),
        (format!("{server}[tls.acme]\n"), &["tls.acme.terms_of_service_agreed", "letsencrypt.org"]),
        (agreed.to_owned(), &["tls.acme.domains", "server.name"]),
        (format!("[server]\nname = \"192.0.2.1:8448\"\n{agreed}"), &["tls.acme.domains", "server.name"]),
        (format!("[server]\nname = \"[2001:db8::1]\"\n{agreed}"), &["tls.acme.domains", "server.name"]),
        (format!("{server}{agreed}domains = [\"*.example.org\"]\n"), &["tls.acme.domains", "*.example.org"]),
        (format!("{server}{agreed}domains = [\"192.0.2.1\"]\n"), &["tls.acme.domains", "192.0.2.1"]),
        (format!("{server}{agreed}contact = \"mailto:a@example.org\"\n"), &["tls.acme.contact"]),
        (format!("{server}{agreed}directory = \"http://ca.example.org\"\n"), &["tls.acme.directory", "https://"]),
    ] {
        let error = load(&text, &[]).expect_err(&text);
        for part in parts {
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
