//! What would make two gateways trample on one another is refused at the start, by name.

use std::net::{TcpListener, UdpSocket};

use crate::support::alone;
use crate::support::gateway::{Gateway, Plan};

#[test]
fn a_second_one_on_the_same_folder_is_refused() {
    let _alone = alone();
    let first = Gateway::start(&Plan::new());
    let (status, said) = Gateway::refuse(&Plan::new(), Some(first.data()));
    assert!(!status.success(), "{said}");
    assert!(said.contains(&first.data().display().to_string()), "the folder is named: {said}");
    assert!(first.is_alive(), "{}", first.tail());
    first.get("/v1/calls");
}

#[test]
fn a_sip_port_in_use_is_named_with_its_key() {
    let _alone = alone();
    let plan = Plan::new();
    let _taken = UdpSocket::bind(plan.sip).expect("free until now");
    let (status, said) = Gateway::refuse(&plan, None);
    assert!(!status.success(), "{said}");
    assert!(
        said.contains("sip.listen") && said.contains(&plan.sip.to_string()),
        "key and address are named: {said}"
    );
}

#[test]
fn an_http_port_in_use_is_named_with_its_key() {
    let _alone = alone();
    let plan = Plan::new();
    let _taken = TcpListener::bind(plan.http).expect("free until now");
    let (status, said) = Gateway::refuse(&plan, None);
    assert!(!status.success(), "{said}");
    assert!(
        said.contains("http.listen") && said.contains(&plan.http.to_string()),
        "key and address are named: {said}"
    );
}

#[test]
fn a_mistake_in_the_configuration_ends_with_64_and_the_key() {
    let _alone = alone();
    let mut plan = Plan::new();
    plan.allow = "everybody";
    let (status, said) = Gateway::refuse(&plan, None);
    assert_eq!(status.code(), Some(64), "{said}");
    assert!(said.contains("trunk[0].allow"), "the key is named: {said}");
}
