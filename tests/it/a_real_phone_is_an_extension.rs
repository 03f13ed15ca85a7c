//! baresip, a phone that others have written, registers with us by TCP, calls an agent and is called.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use offhook::domain::{Direction, Principal, Private, Status};
use offhook::gateway::PlaceCall;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::ports::free_ports;
use crate::support::{NUMBER, Setting, World};

/// Only a fence.
const PATIENCE: Duration = Duration::from_secs(60);

async fn world() -> World {
    World::start(Setting {
        sip: "tcp = '127.0.0.1:0'",
        // Loopback is no carrier here: the phone proves who it is with every call.
        allow: "192.0.2.0/24",
        more: "[[extension]]\nnumber = '201'\npassword = 'secret-201'\n".into(),
        ..Setting::default()
    })
    .await
}

/// A phone of extension 201, which answers by itself. It ends with the folder.
fn baresip(world: &World, command: Option<&str>) -> (Child, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    // An address of its own, away from everybody else on loopback.
    let ip = Ipv4Addr::new(127, 99, 0, 1);
    let port = free_ports(ip.into(), 42);
    let registrar = world.sip_by_tcp();
    let account = format!(
        "<sip:201@{registrar};transport=tcp>;auth_user=201;auth_pass=secret-201;regint=60;\
         audio_codecs=PCMU/8000/1;answermode=auto\n"
    );
    let config = format!(
        "poll_method epoll\nsip_listen {ip}:{port}\nnet_interface {ip}\ncall_local_timeout 120\ncall_max_calls 4\n\
         audio_source aubridge,mouth\naudio_player aubridge,ear\naudio_alert aubridge,alert\nausrc_srate 8000\n\
         auplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nrtp_ports {}-{}\n\
         module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aubridge.so\n\
         module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n",
        port + 2,
        port + 41,
    );
    std::fs::write(folder.path().join("accounts"), account).unwrap();
    std::fs::write(folder.path().join("config"), config).unwrap();
    let mut baresip = Command::new("baresip");
    baresip.args(["-4", "-f"]).arg(folder.path());
    if let Some(command) = command {
        baresip.args(["-e", command]);
    }
    let child = baresip.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    (child.spawn().expect("baresip is installed"), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_registers_by_tcp_and_is_called() {
    let mut world = world().await;
    let (_phone, _folder) = baresip(&world, None);
    let registered = async {
        while world.gateway.report().await.extensions[0].phones.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, registered).await.expect("baresip registers");
    let phone = world.gateway.report().await.extensions.swap_remove(0).phones.swap_remove(0);
    assert_eq!(phone.transport, "TCP");
    assert!(phone.user_agent.is_some_and(|agent| agent.contains("baresip")));
    let order = PlaceCall {
        from: Private::new(NUMBER.into()),
        to: Private::new("201".into()),
        ..PlaceCall::default()
    };
    let id = world.gateway.place(&Principal::operator(), order).await.unwrap().id;
    world.named("call.started").await;
    world.gateway.hang_up(&Principal::operator(), id).await.unwrap();
    let (call, _) = world.until_ended().await;
    assert_eq!((call.direction, call.status), (Direction::Outbound, Status::Completed));
    assert_eq!(call.trunk, "extension 201");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_an_agent() {
    let mut world = world().await;
    let dial = format!("/dial sip:desk@{};transport=tcp", world.sip_by_tcp());
    let (_phone, _folder) = baresip(&world, Some(&dial));
    let started = world.named("call.started").await;
    world.gateway.hang_up(&Principal::operator(), started.call().unwrap().clone()).await.unwrap();
    let (call, _) = world.until_ended().await;
    assert_eq!((call.direction, call.trunk.as_str()), (Direction::Inbound, "extension 201"));
    assert_eq!((call.from.reveal().as_str(), call.to.reveal().as_str()), ("201", "desk"));
    world.stop().await;
}
