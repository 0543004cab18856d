use super::*;

#[test]
fn reads_classes_types_and_messages() {
    let vm = model().class("VM").expect("VM");
    assert_eq!(vm.lower_name, "vm");
    let operations = &vm.fields[vm.field("current_operations").expect("field")];
    assert_eq!(
        operations.ty,
        Type::Map(
            Box::new(Type::Str),
            Box::new(Type::Enum("vm_operations".to_owned()))
        )
    );
    let start = vm.message("start").expect("start");
    assert!(start.needs_session && start.is_async);
    assert_eq!(start.required(), 3);
    assert!(matches!(
        vm.message("add_tags").expect("add_tags").kind,
        Kind::Adder(_)
    ));
    assert!(matches!(
        vm.message("set_name_label").expect("setter").kind,
        Kind::Setter(_)
    ));
}

#[test]
fn login_needs_no_session_and_has_optional_parameters() {
    let login = model()
        .class("session")
        .and_then(|c| c.message("login_with_password"))
        .expect("login");
    assert!(!login.needs_session);
    assert_eq!((login.required(), login.params.len()), (2, 4));
}

#[test]
fn relations_name_both_ends() {
    let (vbd, vm) = (
        model().class("VBD").expect("VBD"),
        model().class("VM").expect("VM"),
    );
    let forward = &vbd.fields[vbd.field("VM").expect("field")];
    let reverse = End {
        class: vm.id,
        field: vm.field("VBDs").expect("field"),
    };
    assert_eq!(forward.forward, Some(reverse));
}
