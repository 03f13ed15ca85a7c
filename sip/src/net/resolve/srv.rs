//! The order of SRV records: RFC 2782, "Usage rules".

use super::dns::Srv;
use crate::random::Random;

/// By priority; among equals by chance, in the proportion of their weights.
pub(super) fn order(mut servers: Vec<Srv>, random: &mut Random) -> Vec<Srv> {
    // Those of weight 0 stand first in their priority, so that they have their very small chance.
    servers.sort_by_key(|srv| (srv.priority, srv.weight));
    let mut ordered = Vec::with_capacity(servers.len());
    while let Some(priority) = servers.first().map(|srv| srv.priority) {
        let equals = servers.iter().take_while(|srv| srv.priority == priority);
        let total: u64 = equals.map(|srv| u64::from(srv.weight)).sum();
        let drawn = random.number() % (total + 1);
        let mut sum = 0;
        let at = servers
            .iter()
            .position(|srv| {
                sum += u64::from(srv.weight);
                sum >= drawn
            })
            .unwrap_or(0);
        ordered.push(servers.remove(at));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.into() }
    }

    #[test]
    fn priorities_hold_and_weights_are_shares() {
        let servers =
            vec![srv(20, 100, "c"), srv(10, 30, "a"), srv(10, 70, "b"), srv(10, 0, "z"), srv(30, 0, "d")];
        let mut first = std::collections::BTreeMap::new();
        let mut random = Random::new([1; 32]);
        for _ in 0..2_000 {
            let names: Vec<String> =
                order(servers.clone(), &mut random).into_iter().map(|srv| srv.target).collect();
            assert_eq!(names[3..], ["c", "d"]);
            *first.entry(names[0].clone()).or_insert(0) += 1;
        }
        assert!((500..700).contains(&first["a"]), "{first:?}");
        assert!((1_300..1_500).contains(&first["b"]), "{first:?}");
        assert!((1..60).contains(&first["z"]), "{first:?}");
    }

    #[test]
    fn all_weights_zero_and_none_at_all() {
        let mut random = Random::new([2; 32]);
        assert_eq!(order(vec![srv(1, 0, "a"), srv(1, 0, "b")], &mut random).len(), 2);
        assert!(order(Vec::new(), &mut random).is_empty());
    }

    #[test]
    fn the_same_seed_gives_the_same_order() {
        let servers: Vec<Srv> = (0..9).map(|i| srv(1, i, &i.to_string())).collect();
        let once = order(servers.clone(), &mut Random::new([3; 32]));
        assert_eq!(once, order(servers.clone(), &mut Random::new([3; 32])));
        assert_ne!(once, order(servers, &mut Random::new([4; 32])));
    }
}
