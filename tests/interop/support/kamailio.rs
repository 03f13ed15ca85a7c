//! A real registrar and proxy: Kamailio, which challenges every REGISTER and INVITE with a digest.
//!
//! It plays the operator's carrier. The gateway registers as `gw`; calls to [`DID`] go to it, and calls to
//! [`PHONE_NUMBER`] go to whoever registered as `phone`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::line::Line;
use super::place::{Folder, HERE, free_port};
use super::process::Process;

/// The number that the carrier routes to the gateway.
pub(crate) const DID: &str = "+15550100001";
/// The number of the phone that registers as `phone`.
pub(crate) const PHONE_NUMBER: &str = "+15550100002";
/// Who may register, and with what.
pub(crate) const USERS: [(&str, &str); 3] = [("gw", "gw-pw"), ("phone", "phone-pw"), ("friend", "friend-pw")];

const READY: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    Md5,
    /// RFC 8760. Phones that only know MD5 are let in by their user name, the gateway is challenged.
    Sha256,
}

/// Whether the proxy keeps the dialled number in the Request-URI or puts the registered contact there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Number,
    Contact,
}

pub(crate) struct Kamailio {
    pub(crate) address: SocketAddr,
    process: Process,
    _folder: Folder,
}

impl Kamailio {
    pub(crate) fn start(challenge: Challenge, target: Target) -> Kamailio {
        let folder = Folder::new("kamailio");
        let address = free_port(HERE);
        let script = folder.write("kamailio.cfg", &script(address, challenge, target, &modules()));
        let process = Process::spawn(
            "kamailio",
            // Not in the PATH of everybody.
            "/usr/sbin/kamailio",
            &[
                "-w",
                &folder.path().display().to_string(),
                "-Y",
                &folder.path().display().to_string(),
                "-f",
                &script.display().to_string(),
                "-DD",
                "-E",
                "-m",
                "64",
                "-M",
                "8",
            ],
            |_| (),
        );
        process.wait_for_line("interop: listening", READY);
        Kamailio { address, process, _folder: folder }
    }

    /// Waits until `user` has registered `count` times in all (a refresh counts).
    pub(crate) fn wait_registered(&self, user: &str, count: usize, within: Duration) {
        self.process.wait_for_lines(&format!("interop: registered {user} "), count, within);
    }

    /// Waits until `user` has taken its registration back.
    pub(crate) fn wait_unregistered(&self, user: &str, within: Duration) {
        self.process.wait_for_line(&format!("interop: unregistered {user} "), within);
    }

    /// Waits until `count` requests of this method have gone from one side to the other.
    pub(crate) fn wait_relayed(&self, method: &str, count: usize, within: Duration) {
        self.process.wait_for_lines(&format!("interop: relayed {method} "), count, within);
    }

    /// How many requests of this method came with credentials that were wrong or missing.
    pub(crate) fn challenged(&self, method: &str) -> usize {
        self.process.count_lines(&format!("interop: challenged {method} "))
    }

    /// The challenge that an unauthenticated REGISTER of this user gets.
    pub(crate) fn challenge_for(&self, user: &str) -> String {
        let line = Line::to(self.address);
        line.register(user);
        let answer = line.answer(super::SOON, |answer| answer.status == 401);
        answer.header("WWW-Authenticate").expect("a 401 carries a challenge (RFC 3261 §22.2)").to_owned()
    }

    pub(crate) fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.address)
    }
}

/// Debian keeps the modules under the machine's architecture.
fn modules() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    found
        .map(|path| path.join("kamailio/modules"))
        .find(|path| path.join("tm.so").exists())
        .expect("Kamailio's modules lie under /usr/lib (scripts/setup-test.sh installs them)")
}

fn script(address: SocketAddr, challenge: Challenge, target: Target, modules: &Path) -> String {
    let users: String =
        USERS.iter().map(|(user, password)| format!("\t$sht(users=>{user}) = \"{password}\";\n")).collect();
    let sha256 = match challenge {
        Challenge::Md5 => "",
        Challenge::Sha256 => "modparam(\"auth\", \"algorithm\", \"SHA-256\")",
    };
    // apt's baresip answers MD5 only; under SHA-256 only the gateway is asked.
    let exempt = match challenge {
        Challenge::Md5 => "0",
        Challenge::Sha256 => "$fU == \"phone\" || $fU == \"friend\"",
    };
    let restore = match target {
        Target::Number => "if ($var(user) == \"gw\") { $rU = $var(dialled); }",
        Target::Contact => "",
    };
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{address}

mpath="{modules}/"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "sanity.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "htable.so"

modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 10)
modparam("registrar", "default_expires", 60)
modparam("registrar", "max_contacts", 1)
modparam("auth", "qop", "auth")
modparam("auth", "nonce_expire", 300)
{sha256}
modparam("htable", "htable", "users=>size=4;")
modparam("htable", "htable", "numbers=>size=4;")
modparam("rr", "append_fromtag", 1)

event_route[htable:mod-init] {{
{users}	$sht(numbers=>{DID}) = "gw";
	$sht(numbers=>{PHONE_NUMBER}) = "phone";
}}

event_route[core:worker-one-init] {{
	xlog("L_ALERT", "interop: listening\n");
}}

request_route {{
	if (!mf_process_maxfwd_header("20")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
	if (!sanity_check()) {{ exit; }}
	if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
	force_rport();
	if (is_method("CANCEL")) {{
		if (t_check_trans()) {{ t_relay(); }}
		exit;
	}}
	if (has_totag()) {{
		if (loose_route()) {{
			xlog("L_ALERT", "interop: relayed $rm to $ru\n");
			t_relay();
			exit;
		}}
		if (is_method("ACK")) {{
			if (t_check_trans()) {{ t_relay(); }}
			exit;
		}}
		sl_send_reply("404", "Not Here");
		exit;
	}}
	t_check_trans();
	remove_hf("Route");

	if (is_method("REGISTER")) {{
		if (!({exempt}) && ($sht(users=>$au) == $null || !pv_www_authenticate("carrier.test", "$sht(users=>$au)", "0"))) {{
			xlog("L_ALERT", "interop: challenged REGISTER $tU\n");
			www_challenge("carrier.test", "1");
			exit;
		}}
		consume_credentials();
		save("location");
		switch ($rc) {{
			case 1:
			case 2: xlog("L_ALERT", "interop: registered $tU as $ct\n"); break;
			case 3: xlog("L_ALERT", "interop: unregistered $tU as $ct\n"); break;
			default: sl_reply_error();
		}}
		exit;
	}}

	if (is_method("INVITE")) {{
		if (!({exempt}) && ($sht(users=>$au) == $null || !pv_proxy_authenticate("carrier.test", "$sht(users=>$au)", "0"))) {{
			xlog("L_ALERT", "interop: challenged INVITE $fU\n");
			proxy_challenge("carrier.test", "1");
			exit;
		}}
		consume_credentials();
		record_route();
	}}

	$var(dialled) = $rU;
	if ($sht(numbers=>$rU) != $null) {{ $rU = $sht(numbers=>$rU); }}
	$var(user) = $rU;
	if (!lookup("location")) {{ sl_send_reply("480", "Temporarily Unavailable"); exit; }}
	{restore}
	xlog("L_ALERT", "interop: relayed $rm to $ru\n");
	if (!t_relay()) {{ sl_reply_error(); }}
	exit;
}}
"#,
        modules = modules.display(),
    )
}
