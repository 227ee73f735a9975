//! The writer and its queue: groups, wake-ups, back-pressure, the end.

use super::*;
use crate::{
    Topic,
    conformance::{block_on, commit_at},
};

/// A gate that the writer's callback waits at, so that a test decides what is queued when it goes on.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    waiting: bool,
    seen: Vec<(Seq, Vec<Topic>)>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn options(self: &Arc<Self>, queue_max: usize) -> Options {
        let gate = Arc::clone(self);
        let on_commit: OnCommit = Arc::new(move |seq, topics| {
            let mut state = gate.state();
            state.seen.push((seq, topics.to_vec()));
            state.waiting = state.closed;
            gate.changed.notify_all();
            drop(gate.changed.wait_while(state, |state| state.closed).unwrap());
        });
        Options { queue_max, on_commit: Some(on_commit), ..small() }
    }

    /// Closes the gate and has the writer stand at it with the batch `journal` was given.
    fn hold(&self, journal: &RocksJournal) -> oneshot::Receiver<Result<Outcome, Unavailable>> {
        self.state().closed = true;
        let answer = enqueue(journal, |batch| COUNTERS.put(batch, &(9, 9), &9)).unwrap();
        drop(self.changed.wait_while(self.state(), |state| !state.waiting).unwrap());
        answer
    }

    fn open(&self) {
        let mut state = self.state();
        (state.closed, state.waiting) = (false, false);
        self.changed.notify_all();
    }
}

fn enqueue(
    journal: &RocksJournal,
    build: impl FnOnce(&mut Batch),
) -> Result<oneshot::Receiver<Result<Outcome, Unavailable>>, Unavailable> {
    let mut batch = Batch::new(NOW);
    build(&mut batch);
    journal.enqueue(journal.seal(batch).unwrap())
}

fn outcome(answer: oneshot::Receiver<Result<Outcome, Unavailable>>) -> Outcome {
    answer.blocking_recv().unwrap().unwrap()
}

#[test]
fn one_batch_too_many_is_told_to_come_again() {
    let (data, gate) = (Data::new(), Arc::new(Gate::default()));
    let journal = data.open_with(gate.options(2));
    let first = gate.hold(&journal);
    let waiting = [0, 1].map(|key| enqueue(&journal, |batch| COUNTERS.put(batch, &(0, key), &1)).unwrap());
    let refused = enqueue(&journal, |batch| COUNTERS.put(batch, &(0, 2), &1));
    assert!(matches!(refused, Err(Unavailable::Busy)));
    gate.open();
    assert_eq!(outcome(first), Outcome::Committed(Seq::from_u64(1)));
    let [second, third] = waiting.map(outcome);
    assert_eq!((second, third), (Outcome::Committed(Seq::from_u64(2)), Outcome::Committed(Seq::from_u64(3))));
    // What was refused has left no trace, and there is room again.
    assert_eq!(COUNTERS.count(&journal.view(NOW), &(0,)).unwrap(), 2);
    write_at(&journal, NOW, |batch| COUNTERS.put(batch, &(0, 2), &1));
    assert_eq!(journal.0.queued_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn queued_bytes_are_bounded_too() {
    let (data, gate) = (Data::new(), Arc::new(Gate::default()));
    let journal = data.open_with(gate.options(1000));
    let first = gate.hold(&journal);
    let room = journal.view(NOW).name("!room");
    let large = "x".repeat(7 * 1024 * 1024);
    let put = || enqueue(&journal, |batch| crate::conformance::ROOMS.put(batch, &(room,), &large));
    let mut waiting = Vec::new();
    let refused = loop {
        match put() {
            Ok(answer) => waiting.push(answer),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Unavailable::Busy));
    assert_eq!(waiting.len(), QUEUE_BYTES_MAX / large.len() + 1);
    gate.open();
    assert!(matches!(outcome(first), Outcome::Committed(_)));
    assert!(waiting.into_iter().all(|answer| matches!(outcome(answer), Outcome::Committed(_))));
    assert_eq!(journal.0.queued_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn batches_of_a_group_see_the_ones_before_them() {
    let (data, gate) = (Data::new(), Arc::new(Gate::default()));
    let journal = data.open_with(gate.options(100));
    let held = gate.hold(&journal);
    let note = |batch: &mut Batch, class, value: &str| {
        NOTES.put(batch, &(0, 0), &value.to_owned(), class, Timestamp::NEVER);
    };
    let seq = Seq::from_u64;
    // All of these are in the queue before the writer looks again, so they are one group with one fsync.
    let answers = [
        enqueue(&journal, |batch| {
            COUNTERS.require(batch, &(0, 0), None);
            COUNTERS.put(batch, &(0, 0), &1);
            note(batch, DAY, "first");
        }),
        enqueue(&journal, |batch| {
            COUNTERS.require(batch, &(0, 0), None);
            COUNTERS.put(batch, &(0, 0), &2);
        }),
        enqueue(&journal, |batch| {
            NOTES.require(batch, &(0, 0), Some(seq(2)));
            note(batch, TWO_HOURS, "second");
        }),
        enqueue(&journal, |batch| {
            COUNTERS.require(batch, &(0, 0), Some(seq(2)));
            COUNTERS.delete(batch, &(0, 0));
            EVENTS.put(batch, &(0, Stamp::of_commit(0)), &"event".to_owned(), DAY, Timestamp::NEVER);
        }),
        enqueue(&journal, |batch| {
            COUNTERS.require(batch, &(0, 0), None);
            NOTES.require(batch, &(0, 0), Some(seq(3)));
            COUNTERS.put(batch, &(0, 1), &5);
        }),
    ]
    .map(Result::unwrap);
    gate.open();
    assert_eq!(outcome(held), Outcome::Committed(seq(1)));
    let expected = [
        Outcome::Committed(seq(2)),
        Outcome::Conflict { precondition: 0 },
        Outcome::Committed(seq(3)),
        Outcome::Committed(seq(4)),
        Outcome::Committed(seq(5)),
    ];
    assert_eq!(answers.map(outcome), expected);
    let view = journal.view(NOW);
    assert_eq!(rows(COUNTERS.scan(&view, &(0,))), [((0, 1), 5)]);
    assert_eq!(rows(NOTES.scan(&view, &())), [((0, 0), "second".to_owned())]);
    assert_eq!(rows(EVENTS.scan(&view, &())), [((0, Stamp::new(seq(4), 0)), "event".to_owned())]);
    // Nothing is left of "first" in the longer class's bucket.
    assert_eq!(NOTES.count(&journal.view(NOW.plus_ms(2 * HOUR)), &()).unwrap(), 0);
}

#[test]
fn wake_ups_come_in_order_and_before_the_answer() {
    let (data, gate) = (Data::new(), Arc::new(Gate::default()));
    let journal = data.open_with(gate.options(100));
    for number in 1..4 {
        let seq = write_at(&journal, NOW, |batch| {
            COUNTERS.put(batch, &(0, 0), &1);
            batch.wake(topic(number));
            batch.wake(topic(9));
            batch.wake(topic(number));
        });
        assert_eq!(*gate.state().seen.last().unwrap(), (seq, vec![topic(number), topic(9)]));
    }
    // A conflict wakes nobody.
    let conflict = commit_at(&journal, NOW, |batch| {
        COUNTERS.require(batch, &(0, 0), None);
        batch.wake(topic(5));
    });
    assert_eq!(conflict.unwrap(), Outcome::Conflict { precondition: 0 });
    assert_eq!(gate.state().seen.len(), 3);
}

#[test]
fn a_caller_that_gave_up_is_committed_all_the_same() {
    let (data, gate) = (Data::new(), Arc::new(Gate::default()));
    let journal = data.open_with(gate.options(100));
    let held = gate.hold(&journal);
    drop(enqueue(&journal, |batch| {
        COUNTERS.put(batch, &(0, 0), &1);
        batch.wake(topic(1));
    }));
    gate.open();
    assert!(matches!(outcome(held), Outcome::Committed(_)));
    write_at(&journal, NOW, |batch| COUNTERS.put(batch, &(0, 1), &1));
    assert!(COUNTERS.exists(&journal.view(NOW), &(0, 0)).unwrap());
    assert_eq!(gate.state().seen[1], (Seq::from_u64(2), vec![topic(1)]));
}

#[test]
fn closing_commits_what_is_queued_and_nothing_after() {
    let (data, gate) = (Data::new(), Arc::new(Gate::default()));
    let journal = data.open_with(gate.options(100));
    let held = gate.hold(&journal);
    let queued = enqueue(&journal, |batch| COUNTERS.put(batch, &(0, 0), &1)).unwrap();
    thread::scope(|scope| {
        let closing = scope.spawn(|| journal.close());
        // The writer stands at the gate, so closing waits for it.
        gate.open();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(outcome(held), Outcome::Committed(Seq::from_u64(1)));
    assert_eq!(outcome(queued), Outcome::Committed(Seq::from_u64(2)));
    let mut batch = Batch::new(NOW);
    COUNTERS.put(&mut batch, &(0, 1), &1);
    let sealed = journal.seal(batch).unwrap();
    assert!(matches!(block_on(journal.commit(sealed)), Err(Unavailable::Store(_))));
    assert!(journal.expire(NOW.plus_ms(30 * HOUR)).unwrap().is_idle());
    journal.close().unwrap();
    assert_eq!(COUNTERS.count(&journal.view(NOW), &(0,)).unwrap(), 1);
}
