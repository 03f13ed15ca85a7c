fn main() {
    let b = llama_cpp_2::llama_backend::LlamaBackend::init().unwrap();
    let p = std::env::args().nth(1).unwrap();
    let c = llama_cpp_2::model::LlamaModel::load_from_file(&b, &p, &Default::default());
    println!("{}", c.is_ok());
}
