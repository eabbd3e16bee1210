package card

// metadata is Yubico's GET METADATA (firmware 5.3 and newer).
func (c *Card) metadata(cmd Command) ([]byte, error) {
	if !c.firmware.hasMetadata() {
		return nil, StatusInstruction
	}
	if cmd.P1 != 0 {
		return nil, StatusWrongParameters
	}
	switch cmd.P2 {
	case referencePIN:
		return c.state.PIN.metadata(factoryPIN), nil
	case referencePUK:
		return c.state.PUK.metadata(factoryPUK), nil
	case slotManagement:
		key := c.state.Management
		return row(
			tlv(0x01, key.Algorithm),
			tlv(0x02, 0, key.Touch),
			tlv(0x05, truth(string(key.Key) == factoryManagementKey)),
		), nil
	}
	slot := c.state.keys[cmd.P2]
	if slot == nil {
		return nil, StatusReferenceMissing
	}
	return row(
		tlv(0x01, slot.key.algorithm()),
		tlv(0x02, slot.PIN, slot.Touch),
		tlv(0x03, slot.Origin),
		tlv(0x04, slot.key.public()...),
	), nil
}

func (s secret) metadata(factory string) []byte {
	return row(
		tlv(0x01, 0xFF),
		tlv(0x05, truth(string(s.Value) == factory)),
		tlv(0x06, byte(s.Tries), byte(s.Left)),
	)
}

func row(objects ...[]byte) []byte {
	var b []byte
	for _, object := range objects {
		b = append(b, object...)
	}
	return b
}

func truth(b bool) byte {
	if b {
		return 1
	}
	return 0
}
