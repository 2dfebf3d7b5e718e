use bailiwick_custody::{OrderRecord, VerifiedRelease};

fn forge(order: OrderRecord) -> VerifiedRelease {
    VerifiedRelease { order }
}

fn main() {}
