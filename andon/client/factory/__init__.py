"""What a factory speaks: GS1 keys, EPCIS 2.0 documents, passports that are checked offline."""
