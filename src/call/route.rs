//! Where a call goes: from what a client or an extension dials to the places that can be called, each with its INVITE, in the
//! order in which they are tried.
//!
//! | dialled | places |
//! |---|---|
//! | the number of an extension | its phones, all at once |
//! | E.164 | the servers of the number's trunk, then those of trunks with a priority; those that are down come last |
//! | a SIP URI | the servers of the number's trunk; where it has none, what RFC 3263 finds for the URI itself |

use std::net::SocketAddr;
use std::sync::Arc;

use sip::identity::{CallerId, IdentityStyle, Privacy};
use sip::{Invite, NameAddr, Path, ReferRequest, Uri};

use super::exchange::{Exchange, local_ip_towards};
use super::messages::{Destination, Way};
use super::trunks::{Hop, address_of, credentials, route_over};
use crate::config::{Extension, Identity, Style, Trunk};
use crate::domain::{Call, Direction, E164, Number, TransferMode};

/// One place to call.
#[derive(Clone, Debug)]
pub struct Place {
    /// The trunk, or the extension, for the call's record.
    pub trunk: String,
    /// The trunk whose server it is, by its place in the configuration.
    pub(super) server: Option<usize>,
    /// Complete but for the body.
    pub invite: Invite,
}

/// Places in the order in which they are tried: all of a wave are called together.
pub type Waves = Vec<Vec<Place>>;

#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Nobody can be called so.
    #[error("{0}")]
    Refused(String),
    /// Not now.
    #[error("{0}")]
    Unreachable(String),
    /// The guards forbid it.
    #[error("{0}")]
    Guarded(super::guards::Refusal),
}

/// What stands for the call's id in a header's template until there is one.
pub(super) const CALL_ID: &str = "{call_id}";

impl Exchange {
    /// Places for a call from one of our numbers, in waves: all of a wave are called together, and the next is for the case
    /// that nobody of the one before is there.
    pub async fn route(&self, from: &Number, to: &str) -> Result<Waves, RouteError> {
        self.guards.destination(to).map_err(RouteError::Guarded)?;
        if let Some(extension) = self.config.extension(to) {
            return Ok(vec![self.phones_of(extension, from.number.as_str()).await?]);
        }
        let trunk = self.config.trunk(&from.trunk);
        let trunk = trunk.ok_or_else(|| RouteError::Refused("the number's trunk is missing".into()))?;
        if let Some(uri) = to.parse::<Uri>().ok().filter(|uri| uri.as_sip().is_some()) {
            return self.to_address(trunk, from, uri).await;
        }
        match E164::read(to, self.directory.region()) {
            Ok(to) => self.over_trunks(trunk, from, &to),
            Err(reason) if to.bytes().any(|b| b.is_ascii_digit()) => Err(RouteError::Refused(reason)),
            Err(_) => Err(RouteError::Refused(self.what_can_be_called())),
        }
    }

    /// Where a message from one of our numbers can be left, the best first.
    ///
    /// # Errors
    /// As for [`route`](Self::route).
    pub async fn ways(&self, from: &Number, to: &str) -> Result<Vec<Destination>, RouteError> {
        let page = |Place { trunk, invite, .. }: Place| {
            let Invite { to, from, credentials, path, route, headers, .. } = invite;
            let body = sip::Body { content_type: String::new(), bytes: Vec::new() };
            let request =
                sip::SendMessage { to, from, credentials, path, route, headers, call_id: None, body };
            Destination { trunk, way: Way::Sip(Box::new(request)) }
        };
        let trunk = self.config.trunk(&from.trunk).filter(|trunk| trunk.messages.is_some());
        if let Some(trunk) = trunk
            && self.config.extension(to).is_none()
            && to.parse::<Uri>().ok().is_none_or(|uri| uri.as_sip().is_none())
        {
            self.guards.destination(to).map_err(RouteError::Guarded)?;
            E164::read(to, self.directory.region()).map_err(RouteError::Refused)?;
            return Ok(vec![Destination { trunk: trunk.name.clone(), way: Way::Carrier }]);
        }
        Ok(self.route(from, to).await?.into_iter().flatten().map(page).collect())
    }

    /// Places for a further leg of a call that is up: as for a call from the number that the call came to or went out from.
    ///
    /// # Errors
    /// As for [`route`](Self::route), or no number of ours is there to call from.
    pub async fn route_beside(&self, call: &Call, to: &str) -> Result<Waves, RouteError> {
        let theirs = match call.direction {
            Direction::Inbound => &call.from,
            Direction::Outbound => &call.to,
        };
        // A phone of ours is shown who is there, not our number.
        if let Some(extension) = self.config.extension(to) {
            return Ok(vec![self.phones_of(extension, theirs.reveal()).await?]);
        }
        let number = self.number_of(call);
        let number = number.ok_or_else(|| RouteError::Refused("there is no number to call from".into()))?;
        self.route(&number, to).await
    }

    /// The number of ours that a call came to or went out from; who dialled an agent by name goes out by the agent's.
    pub(super) fn number_of(&self, call: &Call) -> Option<Arc<Number>> {
        let ours = match call.direction {
            Direction::Inbound => &call.to,
            Direction::Outbound => &call.from,
        };
        let number = self.directory.dialled(ours.reveal()).filter(|number| number.account == call.account);
        number.or_else(|| self.directory.numbers_of(call.agent_id.as_ref()?).first().cloned())
    }

    /// How a call is handed on to a target, where it is left to us (`asked` is `Auto`) or not.
    pub fn transfer_mode(&self, call: &Call, to: &str, asked: TransferMode) -> TransferMode {
        match asked {
            // Nobody but us reaches a phone of ours.
            TransferMode::Auto if self.config.extension(to).is_some() => TransferMode::Bridge,
            TransferMode::Auto => self.config.trunk(&call.trunk).map_or(asked, |trunk| trunk.transfer),
            mode => mode,
        }
    }

    /// Places that a REFER names, and with them the dialog to be replaced, if it names one (RFC 3891).
    pub(super) async fn route_referred(
        &self,
        call: &Call,
        refer: &ReferRequest,
    ) -> Result<Waves, RouteError> {
        // Who is known by name or number is called so, whatever host the peer thinks they have.
        let is_known = |user: &String| user.parse::<E164>().is_ok() || self.config.extension(user).is_some();
        let user = refer.to.uri.user().filter(|user| is_known(user) && refer.replaces.is_none());
        let to = user.unwrap_or_else(|| refer.to.uri.to_string());
        let mut waves = self.route_beside(call, &to).await?;
        for place in waves.iter_mut().flatten() {
            let replaces = refer.replaces.iter().map(|one| ("Replaces".to_owned(), one.to_string()));
            let by = refer.referred_by.iter().map(|by| ("Referred-By".to_owned(), by.to_string()));
            place.invite.headers.extend(replaces.chain(by));
        }
        Ok(waves)
    }

    /// Whether the peers of a trunk, or the phones of an extension, may send our calls on and take them over.
    pub(super) fn takes_refers(&self, line: &str) -> bool {
        let extension = self.config.extensions.iter().find(|extension| extension.line() == line);
        let trunk = self.config.trunk(line).is_some_and(|trunk| trunk.take_refers);
        trunk || extension.is_some_and(|extension| extension.take_refers)
    }

    fn what_can_be_called(&self) -> String {
        let extension = match self.config.extensions.first() {
            Some(extension) => format!(", or an extension, as in {}", extension.number),
            None => String::new(),
        };
        format!(
            "must be an E.164 number, as in +14155550123, or a SIP URI, as in sip:100@192.168.1.20{extension}"
        )
    }

    /// The phones of an extension, called as `caller` at our own address.
    pub async fn phones_of(&self, extension: &Extension, caller: &str) -> Result<Vec<Place>, RouteError> {
        let bindings = self.stack.bindings(extension.number.clone()).await.unwrap_or_default();
        let phone = |binding: sip::Binding| Place {
            trunk: extension.line(),
            server: None,
            invite: Invite {
                to: binding.contact,
                from: NameAddr::new(None, own_address(caller, binding.path)),
                credentials: None,
                path: binding.path,
                route: binding.route,
                headers: Vec::new(),
                body: None,
                redirects: 0,
            },
        };
        let phones: Vec<_> = bindings.into_iter().map(phone).collect();
        if phones.is_empty() {
            let reason = format!("no phone is registered as extension {}", extension.number);
            return Err(RouteError::Unreachable(reason));
        }
        Ok(phones)
    }

    fn over_trunks(&self, trunk: &Trunk, from: &Number, to: &E164) -> Result<Waves, RouteError> {
        if trunk.servers.is_empty() {
            let reason = format!(
                "trunk {:?} has no registrar and no servers, so it reaches SIP URIs alone",
                trunk.name
            );
            return Err(RouteError::Refused(reason));
        }
        let place = |hop: Hop| {
            let trunk = self.trunks.trunk(hop.trunk);
            let domain = trunk.registrar.as_ref().unwrap_or(&hop.server);
            // A URI without host was refused by the configuration.
            let host = domain.host()?;
            let dialled =
                style(&trunk.identity).address(&trunk.identity.format.write(to), host, domain.port());
            Some(vec![over(trunk, hop, from, dialled)?])
        };
        self.some(trunk, self.trunks.hops(&trunk.name).into_iter().filter_map(place).collect())
    }

    async fn to_address(&self, trunk: &Trunk, from: &Number, to: Uri) -> Result<Waves, RouteError> {
        if !trunk.servers.is_empty() {
            let hops = self.trunks.hops(&trunk.name).into_iter();
            let own = hops.filter(|hop| self.trunks.trunk(hop.trunk).name == trunk.name);
            return self.some(
                trunk,
                own.filter_map(|hop| Some(vec![over(trunk, hop, from, to.clone())?])).collect(),
            );
        }
        let paths = self.stack.resolve_all(&to).await.map_err(|error| {
            tracing::warn!(%error, trunk = trunk.name, "the next hop of a call cannot be found");
            RouteError::Unreachable(format!("{to} cannot be reached: {error}"))
        })?;
        let mut places = Vec::new();
        for path in paths.list {
            self.trunks.will_call(path.remote.ip(), &self.stack).await;
            let host = to.host().ok_or_else(|| RouteError::Refused(format!("{to} has no host")))?;
            let caller = caller(trunk, from, host, to.port());
            let style = style(&trunk.identity);
            places.push(vec![Place {
                trunk: trunk.name.clone(),
                server: None,
                invite: Invite {
                    to: to.clone(),
                    from: caller.from(&style),
                    credentials: (!trunk.username.is_empty()).then(|| credentials(trunk)),
                    path,
                    route: Vec::new(),
                    headers: headers(&caller, &style, trunk, from, &to),
                    body: None,
                    redirects: 0,
                },
            }]);
        }
        Ok(places)
    }

    fn some(&self, trunk: &Trunk, places: Vec<Vec<Place>>) -> Result<Waves, RouteError> {
        if places.is_empty() {
            let reason = format!("none of the servers of trunk {:?} can be found; see the log", trunk.name);
            return Err(RouteError::Unreachable(reason));
        }
        Ok(places)
    }
}

/// A call over a server of a trunk, to an address as the trunk wants it.
fn over(trunk: &Trunk, hop: Hop, from: &Number, to: Uri) -> Option<Place> {
    let domain = trunk.registrar.as_ref().unwrap_or(&hop.server);
    let caller = caller(trunk, from, domain.host()?, domain.port());
    let style = style(&trunk.identity);
    let headers = headers(&caller, &style, trunk, from, &to);
    let invite = Invite {
        to,
        from: caller.from(&style),
        credentials: (!trunk.username.is_empty()).then(|| credentials(trunk)),
        path: hop.path,
        route: if hop.service_route.is_empty() { route_over(&hop.server) } else { hop.service_route },
        headers,
        body: None,
        redirects: 0,
    };
    Some(Place { trunk: trunk.name.clone(), server: Some(hop.trunk), invite })
}

fn caller(trunk: &Trunk, from: &Number, domain: &sip::Host, port: Option<u16>) -> CallerId {
    let Identity { format, name, private, .. } = &trunk.identity;
    CallerId {
        user: format.write(&from.number),
        name: name.clone(),
        domain: domain.clone(),
        port,
        privacy: if *private { Privacy::id() } else { Privacy::default() },
        diversion: Vec::new(),
    }
}

fn style(identity: &Identity) -> IdentityStyle {
    IdentityStyle {
        asserted: identity.style == Style::Asserted,
        // A From that shows nobody leaves it to another header to tell the trunk who calls.
        preferred: identity.style == Style::Preferred || (identity.private && identity.style == Style::From),
        remote_party: identity.style == Style::RemoteParty,
        user_phone: identity.user_phone,
        from_user: identity.from.clone(),
        ..IdentityStyle::default()
    }
}

fn headers(
    caller: &CallerId,
    style: &IdentityStyle,
    trunk: &Trunk,
    from: &Number,
    to: &Uri,
) -> Vec<(String, String)> {
    let dialled = to.user().unwrap_or_default();
    let fill = |text: &str| text.replace("{number}", from.number.as_str()).replace("{to}", &dialled);
    let templates = trunk.identity.headers.iter().map(|(name, text)| (name.clone(), fill(text)));
    caller.headers(style).into_iter().chain(templates).collect()
}

/// `user` at the address of ours that a path begins at.
fn own_address(user: &str, path: Path) -> Uri {
    let ip = local_ip_towards(path.remote).unwrap_or(path.local.ip());
    let at = SocketAddr::new(ip, path.local.port());
    // An address is a host, always.
    let at: Option<Uri> = format!("sip:{at}").parse().ok();
    at.and_then(|at| address_of(user, &at).ok()).unwrap_or(Uri::Other("sip:offhook".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn placed(identity: &str) -> Invite {
        let text = format!(
            "[[trunk]]\nname='t'\nregistrar='sip:carrier.example'\nservers=['sip:out.example;lr']\nusername='acme'\n\
             password='p'\nidentity={{{identity}}}\n[[agent]]\nname='a'\n\
             [[number]]\nnumber='+493012345678'\nagent='a'\ntrunk='t'"
        );
        let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let directory = crate::call::Directory::of(&config);
        let (trunk, number) = (&config.trunks[0], &directory.dialled("493012345678").unwrap());
        let path = Path {
            transport: sip::Transport::Udp,
            local: "192.0.2.9:5060".parse().unwrap(),
            remote: "192.0.2.1:5060".parse().unwrap(),
        };
        let hop = Hop { trunk: 0, server: trunk.servers[0].clone(), path, service_route: Vec::new() };
        let dialled = trunk.identity.format.write(&"+14155550123".parse().unwrap());
        let host = trunk.registrar.as_ref().unwrap().host().unwrap();
        let to = style(&trunk.identity).address(&dialled, host, None);
        over(trunk, hop, number, to).unwrap().invite
    }

    #[test]
    fn by_default_from_shows_the_number_in_e164() {
        let invite = placed("");
        assert_eq!(invite.to.to_string(), "sip:+14155550123@carrier.example");
        assert_eq!(invite.from.uri.to_string(), "sip:+493012345678@carrier.example");
        assert_eq!(invite.route[0].to_string(), "sip:out.example;lr");
        assert!(invite.headers.is_empty());
    }

    #[test]
    fn a_trunk_is_told_who_calls_as_it_wants_it() {
        let invite = placed(
            "style='asserted', format='plus-less', name='Front desk', from='acme', user_phone=true, \
             headers={'X-Call'='{call_id} {number} {to}'}",
        );
        assert_eq!(invite.to.to_string(), "sip:14155550123@carrier.example;user=phone");
        assert!(
            invite.from.to_string().starts_with("\"Front desk\" <sip:acme@carrier.example"),
            "{}",
            invite.from
        );
        let header = |name: &str| invite.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(
            header("P-Asserted-Identity"),
            Some("\"Front desk\" <sip:493012345678@carrier.example;user=phone>")
        );
        assert_eq!(header("X-Call"), Some("{call_id} +493012345678 14155550123"));
    }

    #[test]
    fn national_numbers_lose_their_country_and_others_get_the_prefix() {
        let invite = placed("format='national', country='49'");
        assert_eq!(invite.from.uri.user().as_deref(), Some("03012345678"));
        assert_eq!(invite.to.user().as_deref(), Some("0014155550123"));
    }

    #[test]
    fn who_is_withheld_is_still_told_to_the_trunk() {
        let invite = placed("private=true");
        assert_eq!(invite.from.uri.to_string(), "sip:anonymous@anonymous.invalid");
        let names: Vec<_> = invite.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["P-Preferred-Identity", "Privacy"]);
    }
}
