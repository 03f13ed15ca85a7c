fn main() {
    let p = std::env::args().nth(1).unwrap();
    let c = whisper_rs::WhisperContext::new_with_params(&p, Default::default());
    println!("{}", c.is_ok());
}
