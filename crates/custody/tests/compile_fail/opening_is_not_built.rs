use bailiwick_custody::Opening;

fn forge() -> Opening {
    Opening { epochs: Vec::new() }
}

fn main() {}
