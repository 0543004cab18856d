use super::*;

fn changes(db: &Db, since: u64) -> Vec<&'static str> {
    db.changed_since(since)
        .map(|(class, _)| model().classes[*class].name.as_str())
        .collect()
}

#[test]
fn both_ends_of_a_relation_follow_and_make_events() {
    let mut db = Db::new(1);
    let vm = db.create("VM", []);
    let vdi = db.create("VDI", []);
    let before = db.generation();
    let vbd = db.create("VBD", [("VM", Value::from(&*vm)), ("VDI", Value::from(&*vdi))]);
    assert_eq!(db.members("VM", &vm, "VBDs"), [&*vbd]);
    let mut touched = changes(&db, before);
    touched.sort_unstable();
    assert_eq!(touched, ["VBD", "VDI", "VM"]);
    db.set("VBD", &vbd, "VDI", Value::null());
    assert!(db.members("VDI", &vdi, "VBDs").is_empty());
    db.destroy("VBD", &vbd);
    assert!(db.members("VM", &vm, "VBDs").is_empty());
}

#[test]
fn many_to_many_relations_follow_from_either_end() {
    let mut db = Db::new(1);
    let update = db.create("pool_update", []);
    let host = db.create("host", [("updates", Value::set_of([&*update]))]);
    assert_eq!(db.members("pool_update", &update, "hosts"), [&*host]);
    db.set("pool_update", &update, "hosts", Value::Set(vec![]));
    assert!(db.members("host", &host, "updates").is_empty());
}

#[test]
fn an_equal_value_makes_no_event() {
    let mut db = Db::new(1);
    let vm = db.create("VM", [("name_label", Value::from("a"))]);
    let before = db.generation();
    assert!(!db.set("VM", &vm, "name_label", "a"));
    assert!(changes(&db, before).is_empty());
    assert!(db.set("VM", &vm, "name_label", "b"));
    assert_eq!(changes(&db, before), ["VM"]);
}

#[test]
fn the_history_of_deletions_is_pruned_to_256_at_512() {
    let mut db = Db::new(1);
    let vms: Vec<Ref> = (0..512).map(|_| db.create("VM", [])).collect();
    for vm in &vms[..511] {
        db.destroy("VM", vm);
    }
    assert_eq!(db.deletions(class("VM")).count(), 511);
    db.destroy("VM", &vms[511]);
    assert_eq!(db.deletions(class("VM")).count(), 256);
}

#[test]
fn silenced_deletions_leave_no_trace() {
    let mut db = Db::new(1);
    let (first, second) = (db.create("VM", []), db.create("VM", []));
    db.silence_deletions(1);
    db.destroy("VM", &first);
    db.destroy("VM", &second);
    let kept: Vec<_> = db
        .deletions(class("VM"))
        .map(|deletion| deletion.reference.clone())
        .collect();
    assert_eq!(kept, [second]);
}
