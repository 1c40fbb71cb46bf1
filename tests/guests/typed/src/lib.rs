//! A stock of items: functions of an interface and free ones, of the types that WIT has.

use std::collections::BTreeMap;

use exports::example::stock::items::{
    Color, Guest as Items, Item, Labels, Problem, Query, Summary,
};

wit_bindgen::generate!({ path: "wit" });

struct Stock;
export!(Stock);

fn stock() -> Vec<Item> {
    let item = |id, name: &str, price, labels| Item {
        id,
        name: name.to_owned(),
        price,
        labels,
        color: Color::DarkBlue,
        size: (2, Some(0.5)),
    };
    vec![
        item(1, "bolt", Some(0.1), Labels::NEW | Labels::FRAGILE),
        item(u64::MAX, "nut", None, Labels::empty()),
    ]
}

impl Items for Stock {
    fn find(query: Query) -> Result<Vec<Item>, Problem> {
        let found: Vec<Item> = match query {
            Query::All => stock(),
            Query::ById(id) => stock().into_iter().filter(|item| item.id == id).collect(),
            Query::ByPrice((least, most)) => stock()
                .into_iter()
                .filter(|item| {
                    item.price
                        .is_some_and(|price| (least..=most).contains(&price))
                })
                .collect(),
            Query::ByName(None) => return Err(Problem::Incomplete(vec!["name".to_owned()])),
            Query::ByName(Some(name)) => stock()
                .into_iter()
                .filter(|item| item.name == name)
                .collect(),
        };
        match found.is_empty() {
            true => Err(Problem::NothingFound),
            false => Ok(found),
        }
    }

    fn summarize(items: Vec<Item>) -> Summary {
        let mut by_color = BTreeMap::new();
        for item in &items {
            *by_color.entry(format!("{:?}", item.color)).or_insert(0_u32) += 1;
        }
        Summary {
            count: items.len() as u64,
            by_color: by_color.into_iter().collect(),
            cheapest: items.iter().filter_map(|item| item.price).reduce(f64::min),
            first: items.first().map(|item| item.name.chars().next()),
        }
    }

    fn fail(message: String) {
        panic!("{message}");
    }
}

impl Guest for Stock {
    fn checksum(bytes: Vec<u8>) -> u32 {
        bytes.iter().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
        })
    }

    fn environment() -> Vec<(String, String)> {
        std::env::vars().collect()
    }
}
