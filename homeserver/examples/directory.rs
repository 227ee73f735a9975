//! What a search of the user directory costs with 100,000 hosts in one organization of 1,000 accounts, on the real store.
//!
//! `cargo run --release --example directory [hosts] [accounts]`. Names are made of the parts below, so that common ones are as
//! common as in life: some thousands of hosts share a first name.
#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock and its arguments")]
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement stops at the first surprise, and says what it found"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use config::Config;
use engine::account::{Search, search};
use engine::platform::{
    PutHost, PutOrganization, PutOrganizationAccount, put_host, put_organization, put_organization_account,
};
use engine::tables::{self, HostRow, ProfileRow, UserKind, UserRow};
use engine::{Draft, Stop};
use homeserver::app::App;
use homeserver::clock::Clock;
use homeserver::start;
use ruma::{OwnedUserId, UserId};

const ORGANIZATION: &str = "clinics";
const FIRST: [&str; 24] = [
    "Maria", "José", "Ana", "Peter", "Zoë", "Łukasz", "Ada", "Noor", "Wei", "Ingrid", "Søren", "Amélie", "Marek", "Marta",
    "Anders", "Björn", "Chloé", "Dmitri", "Elif", "Fatima", "Grace", "Hugo", "Ivana", "Jürgen",
];
const SYLLABLES: [&str; 20] = [
    "ba", "ker", "lo", "mar", "tin", "san", "der", "vo", "ni", "kov", "ri", "chter", "an", "son", "el", "mo", "ta", "wi",
    "en", "berg",
];
const TERMS: [&str; 12] = [
    "m",
    "ma",
    "mar",
    "maria",
    "maria mar",
    "maria martin",
    "jose ber",
    "soren",
    "clinic",
    "ada clinic",
    "north 17",
    "nobody at all",
];

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>().expect("a number"));
    let (hosts, accounts) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(1_000));
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let mut config = Config::default();
    config.server.data = folder.path().join("data");
    config.server.root_key = folder.path().join("root.key");
    let app = start::open(config, Clock::system(), None).await.expect("starts");
    println!("resident before: {} MiB", resident_mib());

    let began = Instant::now();
    provision(&app, hosts, accounts).await;
    let seconds = began.elapsed().as_secs_f64();
    println!("{hosts} hosts in {accounts} accounts named in {seconds:.0} s");
    let rows = app.read(|cx| Ok(tables::DIRECTORY.count(cx.view, &())?)).expect("reads");
    println!("{rows} rows of the directory; the store has {} MiB; resident {} MiB", mib(folder.path()), resident_mib());

    for term in TERMS {
        let command = Search { user_id: user_id(0), term: term.to_owned(), limit: 10 };
        let mut times: Vec<Duration> = Vec::new();
        let mut found = None;
        for _ in 0..50 {
            let began = Instant::now();
            found = Some(app.read(|cx| Ok(search(cx, &command)?)).expect("reads"));
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let found = found.expect("searched");
        println!(
            "{term:>14}: {} found{}, p50 {:.2?}, p99 {:.2?}",
            found.users.len(),
            if found.limited { " and more" } else { "" },
            times[times.len() / 2],
            times[times.len() - 1],
        );
    }
    app.end();
    app.tasks.wait().await;
}

/// Hosts with everything that a search reads, without the crypto identity, which is most of the work of the real call.
async fn provision(app: &App, hosts: usize, accounts: usize) {
    let organization = PutOrganization { organization: ORGANIZATION.to_owned(), name: "Clinics".to_owned() };
    app.run(|cx| put_organization(cx, &organization)).await.expect("an organization");
    for account in 0..accounts {
        let command = PutOrganizationAccount {
            organization: ORGANIZATION.to_owned(),
            account: account.to_string(),
            name: format!("{} Clinic {account}", ["North", "South", "East", "West"][account % 4]),
            chat_enabled: None,
            upload_per_day: None,
            text_retention: None,
        };
        app.run(|cx| put_organization_account(cx, &command)).await.expect("an account");
    }
    for first in (0..hosts).step_by(1_000) {
        let numbers = first..hosts.min(first + 1_000);
        app.run(|cx| {
            let mut draft = Draft::new(*cx);
            numbers.clone().for_each(|number| put_nameless(&mut draft, number, accounts));
            Ok::<_, Stop>(draft.commit(()))
        })
        .await
        .expect("hosts");
        let named = numbers.map(|number| {
            let command = PutHost {
                host: number.to_string(),
                organization: ORGANIZATION.to_owned(),
                account: (number % accounts).to_string(),
                display_name: name(number),
                new_user: None,
            };
            let app = app.clone();
            tokio::spawn(async move { app.run(|cx| put_host(cx, &command)).await.map(drop).expect("a name") })
        });
        for named in named.collect::<Vec<_>>() {
            named.await.expect("a name");
        }
    }
}

fn put_nameless(draft: &mut Draft<'_>, number: usize, accounts: usize) {
    let (cx, user_id) = (draft.cx(), user_id(number));
    let user = (cx.user(&user_id),);
    let host = HostRow {
        host: number.to_string(),
        user_id: user_id.clone(),
        organization: ORGANIZATION.to_owned(),
        account: (number % accounts).to_string(),
        display_name: String::new(),
    };
    let row = UserRow::new(user_id.clone(), UserKind::Host, cx.now());
    tables::USERS.put(&mut draft.batch, &user, &row);
    tables::PROFILES.put(&mut draft.batch, &user, &ProfileRow::default());
    tables::HOSTS.put(&mut draft.batch, &(cx.name(&host.host),), &host);
    tables::HOST_USERS.put(&mut draft.batch, &user, &host);
    tables::ORGANIZATION_HOSTS.put(&mut draft.batch, &(cx.name(ORGANIZATION), user.0), &user_id);
}

fn user_id(number: usize) -> OwnedUserId {
    UserId::parse(format!("@host{number}:localhost")).expect("a user id")
}

/// The same number always has the same name; the first names come more often the earlier they stand.
fn name(number: usize) -> String {
    let mixed = number.wrapping_mul(2_654_435_761) % 1_000_003;
    let first = FIRST[(mixed % 97) * (mixed / 97 % 97) * FIRST.len() / (97 * 97)];
    let syllable = |place: u32| SYLLABLES[mixed / 20_usize.pow(place) % 20];
    let last = format!("{}{}{}", syllable(0), syllable(1), syllable(2));
    format!("{first} {}{}", last[..1].to_uppercase(), &last[1..])
}

/// Bytes of all files below, in MiB.
fn mib(folder: &Path) -> u64 {
    fn bytes(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(
                |entry| {
                    if entry.path().is_dir() { bytes(&entry.path()) } else { entry.metadata().map_or(0, |file| file.len()) }
                },
            )
            .sum()
    }
    bytes(folder) >> 20
}

/// What the process has in memory, in MiB; 0 where the system does not say.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}
