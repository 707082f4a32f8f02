//! Order (C1): ids only grow, nothing arrives late, nothing is skipped, nothing is used twice.

use crate::place::Place;

/// C1.1: a later append has the greater id.
pub(crate) async fn c1_1_ids_increase_in_the_order_of_appends(place: Place) {
    let log = place.log("orders").await;
    let first = log.add("a").await;
    let second = log.add("b").await;
    assert!(first < second, "{first} was followed by {second}");
    assert_eq!(log.texts().await, ["a", "b"]);
}
