"""What tests share: servers, clients, builders."""
