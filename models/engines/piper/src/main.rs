fn main() {
    let _ = ort::init_from(std::env::args().nth(1).unwrap()).unwrap();
}
