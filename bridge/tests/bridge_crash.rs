//! Nothing twice, nothing lost: the bridge is killed while both sides write, and the homeserver repeats what it sent.

mod bench;

use std::time::Duration;

use bench::{Bench, until};

/// How many messages each side writes.
const MESSAGES: usize = 24;
/// How often the bridge is killed meanwhile.
const KILLS: u64 = 8;

fn expected(who: &str) -> Vec<String> {
    (0..MESSAGES).map(|number| format!("{who} {number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_loses_and_repeats_nothing() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    ada.say(&room, "Ada 0").await;
    let ticket = ana.find("ada").await;

    let (mut bridge, relay) = (bench.bridge, bench.relay.clone());
    let writing_person = async {
        for number in 1..MESSAGES {
            ada.say(&room, &format!("Ada {number}")).await;
        }
        ada
    };
    let writing_agent = async {
        for number in 0..MESSAGES {
            ana.answer(ticket, &format!("Ana {number}")).await;
        }
    };
    let killing = async {
        for kill in 0..KILLS {
            // Spread over the steps of the work, not over a fixed one; every second time the answers get lost as well.
            relay.lose_answers(kill % 2 == 1);
            tokio::time::sleep(Duration::from_millis(37 * (kill + 1))).await;
            bridge.kill();
            relay.lose_answers(false);
            bridge.start().await;
        }
        bridge
    };
    let (mut ada, (), bridge) = tokio::join!(writing_person, writing_agent, killing);

    until("all of Ada's", || async { (ana.texts(ticket).await.len() >= MESSAGES).then_some(()) }).await;
    let heard = ada.until_heard(&room, MESSAGES).await;
    // What would come twice would come after everything else: one more exchange, then look.
    ada.say(&room, "the last").await;
    until("Ada's last", || async { ana.texts(ticket).await.contains(&"the last".to_owned()).then_some(()) }).await;
    ana.answer(ticket, "the last").await;
    ada.until_heard(&room, heard.len() + 1).await;
    assert_eq!(ana.texts(ticket).await, [expected("Ada"), vec!["the last".to_owned()]].concat());
    assert_eq!(ada.texts(&room), [expected("Ana"), vec!["the last".to_owned()]].concat());
    assert_eq!(ana.queue().await.len(), 1, "one chat, one ticket");
    drop(bridge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_transaction_changes_nothing() {
    let bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    bench.relay.lose_answers(true);
    ada.say(&room, "once").await;
    // What comes after the repeated transaction waits for its answer.
    until("the homeserver repeats it", || async { (bench.relay.lost() >= 2).then_some(()) }).await;
    bench.relay.lose_answers(false);
    let ticket = ana.find("ada").await;
    ada.say(&room, "twice").await;
    until("the next", || async { ana.texts(ticket).await.contains(&"twice".to_owned()).then_some(()) }).await;
    assert_eq!(ana.texts(ticket).await, ["once", "twice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_it_joins_it_joins_afterwards() {
    let mut bench = Bench::start("").await;
    let mut ada = bench.person("ada").await;
    ada.until_support_has_a_device().await;
    bench.bridge.kill();
    let room = ada.start_chat().await;
    // Support is only invited yet, and gets the key all the same.
    ada.say(&room, "Anybody there?").await;
    bench.bridge.start().await;
    ada.until_support_is(&room, "join").await;
    ada.say(&room, "Hello?").await;
    let ana = bench.agent("Ana").await;
    let ticket = ana.find("ada").await;
    until("both", || async { (ana.texts(ticket).await == ["Anybody there?", "Hello?"]).then_some(()) }).await;
}
