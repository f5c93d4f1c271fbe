//! The conformance test of the store's seam. It uses nothing but the store's own methods; any
//! place to keep sessions has to pass it as it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::event::{Body, Event};
use crate::id::Ids;
use crate::message::{FinishReason, Usage};

const LONG: Duration = Duration::from_secs(20);

/// A store, and the folder that goes with it.
struct Place {
    store: Store,
    ids: Ids,
    folder: Option<PathBuf>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Place {
    fn new_session(&self) -> String {
        let id = self.ids.next();
        self.store.create(&Head::new(id.clone(), "title".into())).unwrap();
        id
    }

    /// A whole turn.
    fn turn(&self, session: &str, bodies: Vec<Body>) {
        let mut lease = self.store.acquire(session).unwrap();
        self.store.append(&mut lease, vec![begin(session)]).unwrap();
        for body in bodies {
            self.store.append(&mut lease, vec![body]).unwrap();
        }
        self.store.release(lease, vec![done()]).unwrap();
    }

    fn stored(&self, session: &str, after: EventId) -> Vec<Event> {
        self.store.read(session, after).unwrap().map(Result::unwrap).collect()
    }
}

fn begin(session: &str) -> Body {
    Body::Session {
        session_id: session.into(),
        title: "title".into(),
        agent: "build".into(),
        model: "offline/guide".into(),
        message_id: "m".into(),
        user_message_id: "u".into(),
        message: "hello".into(),
    }
}

fn text(content: &str) -> Body {
    Body::Text { content: content.into() }
}

fn output() -> Body {
    Body::ToolOutput { id: "c".into(), content: "x".into() }
}

fn done() -> Body {
    Body::Done {
        message_id: "m".into(),
        finish_reason: FinishReason::Stop,
        limit: None,
        usage: Usage::default(),
        time: None,
    }
}

fn at(fence: u64, n: u64) -> EventId {
    fence << 32 | n
}

/// All that a follower gets until it has `count` events.
fn follow(follower: &mut Follower, count: usize) -> Vec<Arc<Event>> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match follower.next(None, LONG).unwrap() {
            Next::Events(events) => seen.extend(events),
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    assert_eq!(seen.len(), count, "{seen:?}");
    seen
}

fn ids(events: &[Arc<Event>]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

fn sessions_are_made_once_listed_and_named(place: &Place) {
    let made: Vec<_> = (0..3).map(|_| place.new_session()).collect();
    let again = place.store.create(&Head::new(made[0].clone(), "x".into()));
    assert_eq!(again, Err(StoreError::Exists));
    let listed = |before: Option<&str>, limit| -> Vec<String> {
        let heads = place.store.list(before, limit).unwrap();
        heads.into_iter().map(|(head, _)| head.id).collect()
    };
    assert_eq!(listed(None, 2), [made[2].as_str(), &made[1]]);
    assert_eq!(listed(Some(&made[1]), 9), [made[0].as_str()]);
    place.store.retitle(&made[1], "named", 1 << 42).unwrap();
    let (head, running) = place.store.head(&made[1]).unwrap();
    assert_eq!((head.title.as_str(), head.updated_ms, running), ("named", 1 << 42, false));
    assert_eq!(place.store.counts(), (3, 0));
    for missing in ["", "../x", &place.ids.next()] {
        assert_eq!(place.store.head(missing).unwrap_err(), StoreError::Missing, "{missing}");
        assert_eq!(place.store.acquire(missing).unwrap_err(), StoreError::Missing);
        assert!(place.store.read(missing, 0).is_err());
        assert_eq!(place.store.retitle(missing, "x", 0).unwrap_err(), StoreError::Missing);
    }
}

fn a_name_outlives_the_head_that_a_turn_writes(place: &Place) {
    let id = place.new_session();
    let lease = place.store.acquire(&id).unwrap();
    place.store.retitle(&id, "named", 5).unwrap();
    place.store.set_head(&lease, |head| head.message_count = 2).unwrap();
    place.store.release(lease, vec![]).unwrap();
    let (head, _) = place.store.head(&id).unwrap();
    assert_eq!((head.title.as_str(), head.message_count), ("named", 2));
}

fn one_turn_holds_a_session_and_the_next_has_a_higher_fence(place: &Place) {
    let id = place.new_session();
    let mut lease = place.store.acquire(&id).unwrap();
    assert!(!lease.is_unfinished());
    assert_eq!(place.store.acquire(&id).unwrap_err(), StoreError::Busy);
    assert!(place.store.head(&id).unwrap().1);
    assert_eq!(place.store.counts().1, 1);
    place.store.append(&mut lease, vec![begin(&id), text("a")]).unwrap();
    place.store.release(lease, vec![done()]).unwrap();
    assert!(!place.store.head(&id).unwrap().1);
    place.turn(&id, vec![text("b"), output(), text("c")]);
    let stored = place.stored(&id, 0);
    let expected = [at(1, 1), at(1, 2), at(1, 3), at(2, 1), at(2, 2), at(2, 4), at(2, 5)];
    assert_eq!(stored.iter().map(|event| event.id).collect::<Vec<_>>(), expected);
    assert_eq!(place.stored(&id, at(2, 2)).len(), 2);
}

fn text_is_read_before_it_has_to_be_stored(place: &Place) {
    let id = place.new_session();
    let mut lease = place.store.acquire(&id).unwrap();
    place.store.append(&mut lease, vec![begin(&id)]).unwrap();
    place.store.append(&mut lease, vec![text("told ahead")]).unwrap();
    assert_eq!(place.stored(&id, 0).last().unwrap().body, text("told ahead"));
    place.store.release(lease, vec![done()]).unwrap();
}

fn whoever_hears_the_end_can_ask_again_at_once(place: &Place) {
    let id = place.new_session();
    for fence in 1..=50 {
        let mut follower = place.store.follow(&id, None).unwrap();
        let lease = place.store.acquire(&id).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| place.store.release(lease, vec![done()]).unwrap());
            assert_eq!(ids(&follow(&mut follower, 1)), [at(fence, 1)]);
            assert!(!place.store.head(&id).unwrap().1, "idle once the end is heard");
            let next = place.store.acquire(&id).unwrap();
            place.store.release(next, vec![]).unwrap();
        });
    }
}

fn every_follower_sees_the_same_and_one_who_comes_late_what_it_missed(place: &Place) {
    let id = place.new_session();
    let mut first = place.store.follow(&id, None).unwrap();
    let pieces: Vec<_> = (0..2000).map(|n| text(&n.to_string())).collect();
    place.turn(&id, pieces);
    let all = follow(&mut first, 2002);
    assert_eq!(ids(&all), (1..=2002).map(|n| at(1, n)).collect::<Vec<_>>());
    for after in [0, 1, 700, 2001] {
        let after = if after == 0 { 0 } else { at(1, after) };
        let mut late = place.store.follow(&id, Some(after)).unwrap();
        let missed: Vec<_> = all.iter().filter(|event| event.id > after).cloned().collect();
        assert_eq!(follow(&mut late, missed.len()), missed, "after {after}");
    }
}

fn a_follower_goes_on_from_storage_into_what_comes(place: &Place) {
    let id = place.new_session();
    // More than any ring holds, so that the beginning comes from storage.
    for _ in 0..3 {
        place.turn(&id, (0..3000).map(|_| text("word")).collect());
    }
    let mut follower = place.store.follow(&id, Some(0)).unwrap();
    let begun = follow_at_least(&mut follower, 100);
    std::thread::scope(|scope| {
        scope.spawn(|| place.turn(&id, vec![text("live")]));
        let mut seen = begun;
        while seen.last().map(|event| event.id) != Some(at(4, 3)) {
            match follower.next(None, LONG).unwrap() {
                Next::Events(events) => seen.extend(events),
                other => panic!("{other:?}"),
            }
        }
        let turns = (1..=3).flat_map(|fence| (1..=3002).map(move |n| at(fence, n)));
        let expected: Vec<_> = turns.chain((1..=3).map(|n| at(4, n))).collect();
        assert_eq!(ids(&seen), expected, "no hole, nothing twice");
    });
}

fn follow_at_least(follower: &mut Follower, count: usize) -> Vec<Arc<Event>> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match follower.next(None, LONG).unwrap() {
            Next::Events(events) => seen.extend(events),
            other => panic!("{other:?}"),
        }
    }
    seen
}

fn what_is_no_longer_kept_is_a_gap(place: &Place) {
    let id = place.new_session();
    let many = (0..6000).map(|_| output());
    place.turn(&id, std::iter::once(text("a")).chain(many).chain([text("b")]).collect());
    let mut late = place.store.follow(&id, Some(at(1, 1))).unwrap();
    let mut seen = Vec::new();
    while seen.last().map(|event: &Arc<Event>| event.id) != Some(at(1, 6004)) {
        match late.next(None, LONG).unwrap() {
            Next::Events(events) => seen.extend(events),
            other => panic!("{other:?}"),
        }
    }
    let gaps = seen.iter().filter(|event| event.body == Body::Gap).count();
    assert_eq!(gaps, 1);
    assert_eq!((&seen[0].body, &seen[1].body), (&text("a"), &Body::Gap));
    assert!(seen[2..].windows(2).all(|two| two[0].id + 1 == two[1].id));
    // An id from before a crash that was never stored: what follows is another turn.
    let mut lost = place.store.follow(&id, Some(at(1, 9000))).unwrap();
    place.turn(&id, vec![]);
    let seen = follow(&mut lost, 3);
    assert_eq!((&seen[0].body, seen[1].id, seen[2].id), (&Body::Gap, at(2, 1), at(2, 2)));
}

fn turns_are_read_from_the_end(place: &Place) {
    const TURNS: usize = 40;
    let id = place.new_session();
    let asked = |n: usize| format!("u{n:02}");
    for n in 0..TURNS {
        let mut lease = place.store.acquire(&id).unwrap();
        if n == 7 {
            // The last words of a turn that was broken off belong to it, though another says them.
            place.store.append(&mut lease, vec![done()]).unwrap();
        }
        let mut begins = begin(&id);
        if let Body::Session { user_message_id, .. } = &mut begins {
            *user_message_id = asked(n);
        }
        place.store.append(&mut lease, vec![begins]).unwrap();
        // The later ones are longer than what is read at a time.
        place.store.append(&mut lease, vec![text(&"x".repeat(n * 4000))]).unwrap();
        place.store.append(&mut lease, vec![output(), text("y")]).unwrap();
        place.store.release(lease, vec![done()]).unwrap();
    }
    let all = place.stored(&id, 0);
    let turns = |before: Option<&str>| -> Vec<Vec<Event>> {
        place.store.turns(&id, before).unwrap().map(Result::unwrap).collect()
    };
    let lengths: Vec<_> = turns(None).iter().map(Vec::len).collect();
    let expected: Vec<_> = (0..TURNS).rev().map(|n| if n == 6 { 5 } else { 4 }).collect();
    assert_eq!(lengths, expected);
    for n in 0..=TURNS {
        let before = turns(Some(&asked(n)));
        assert_eq!(before.len(), n);
        let joined: Vec<_> = before.into_iter().rev().flatten().collect();
        let begins = |event: &Event| matches!(&event.body, Body::Session { user_message_id, .. } if *user_message_id == asked(n));
        let count = all.iter().position(begins).unwrap_or(all.len());
        assert!(joined == all[..count], "the turns before {n}");
    }
    assert_eq!((turns(Some("a")).len(), turns(Some("z")).len()), (0, TURNS));
    let empty = place.new_session();
    assert_eq!(place.store.turns(&empty, None).unwrap().count(), 0);
    assert_eq!(place.store.turns(&empty, Some("u")).unwrap().count(), 0);
    let gone = place.store.turns(&place.ids.next(), None).err();
    assert_eq!(gone, Some(StoreError::Missing));
}

fn a_deleted_session_leaves_nothing_and_followers_are_told(place: &Place) {
    let id = place.new_session();
    place.turn(&id, vec![]);
    let mut follower = place.store.follow(&id, None).unwrap();
    let lease = place.store.acquire(&id).unwrap();
    place.store.delete(lease).unwrap();
    let told = follow(&mut follower, 1);
    assert_eq!(told[0].body, Body::SessionDeleted { session_id: id.clone() });
    assert!(matches!(follower.next(None, LONG).unwrap(), Next::Closed(_)));
    assert_eq!(place.store.head(&id).unwrap_err(), StoreError::Missing);
    assert_eq!(place.store.counts(), (0, 0));
    if let Some(folder) = &place.folder {
        let names = |name: &str| std::fs::read_dir(folder.join(name)).unwrap().count();
        assert_eq!((names("sessions"), names("running")), (0, 0));
    }
}

fn waiting_for_a_lease_ends_with_its_release(place: &Place) {
    let id = place.new_session();
    let held = place.store.acquire(&id).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| place.store.acquire_within(&id, LONG));
        place.store.release(held, vec![]).unwrap();
        let taken = waiting.join().unwrap().unwrap();
        let again = place.store.acquire_within(&id, Duration::ZERO);
        assert_eq!(again.unwrap_err(), StoreError::Busy);
        place.store.release(taken, vec![]).unwrap();
    });
}

macro_rules! conformance {
    ($store:ident: $open:expr; $($behaviour:ident)*) => {
        mod $store {
            $(#[test] fn $behaviour() { super::$behaviour(&$open); })*
        }
    };
    ($($behaviour:ident)*) => {
        conformance! { in_memory: super::in_memory(); $($behaviour)* }
        conformance! { in_files: super::in_files(); $($behaviour)* }
    };
}

conformance! {
    sessions_are_made_once_listed_and_named
    a_name_outlives_the_head_that_a_turn_writes
    one_turn_holds_a_session_and_the_next_has_a_higher_fence
    text_is_read_before_it_has_to_be_stored
    whoever_hears_the_end_can_ask_again_at_once
    every_follower_sees_the_same_and_one_who_comes_late_what_it_missed
    a_follower_goes_on_from_storage_into_what_comes
    what_is_no_longer_kept_is_a_gap
    turns_are_read_from_the_end
    a_deleted_session_leaves_nothing_and_followers_are_told
    waiting_for_a_lease_ends_with_its_release
}

fn in_memory() -> Place {
    Place { store: Store::in_memory(), ids: Ids::default(), folder: None }
}

fn in_files() -> Place {
    let folder = std::env::temp_dir().join(format!("opencode-store-{:032x}", crate::id::random()));
    let store = Store::in_folder(&folder).unwrap();
    Place { store, ids: Ids::default(), folder: Some(folder) }
}
