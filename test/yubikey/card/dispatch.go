package card

import (
	"bytes"
	"context"
	"encoding/binary"
)

// The instructions that the card knows. Those from F6 on are Yubico's.
const (
	insVerify           = 0x20
	insChangeReference  = 0x24
	insResetRetry       = 0x2C
	insGenerate         = 0x47
	insAuthenticate     = 0x87
	insSelect           = 0xA4
	insGetResponse      = 0xC0
	insGetData          = 0xCB
	insPutData          = 0xDB
	insMove             = 0xF6
	insMetadata         = 0xF7
	insSerial           = 0xF8
	insAttest           = 0xF9
	insSetRetries       = 0xFA
	insReset            = 0xFB
	insVersion          = 0xFD
	insImport           = 0xFE
	insSetManagementKey = 0xFF

	insReadConfig = 0x1D // of the management applet
)

const (
	aidPIV        = "\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00"
	aidManagement = "\xA0\x00\x00\x05\x27\x47\x11\x17"
)

// dispatch runs one whole command in the applet that is selected. It is told whether
// the command before was a right PIN.
func (c *Card) dispatch(ctx context.Context, cmd Command, afterPIN bool) ([]byte, error) {
	if cmd.Instruction == insSelect && cmd.P1 == 0x04 {
		return c.selectApplet(cmd.Data)
	}
	switch c.session.applet {
	case appletPIV:
		return c.dispatchPIV(ctx, cmd, afterPIN)
	case appletManagement:
		if cmd.Instruction == insReadConfig {
			return c.deviceInfo(), nil
		}
	}
	return nil, StatusInstruction
}

func (c *Card) dispatchPIV(ctx context.Context, cmd Command, afterPIN bool) ([]byte, error) {
	switch cmd.Instruction {
	case insVerify:
		return c.verify(cmd)
	case insChangeReference:
		return c.changeReference(cmd)
	case insResetRetry:
		return c.resetRetry(cmd)
	case insGenerate:
		return c.generate(cmd)
	case insAuthenticate:
		if cmd.P2 == slotManagement {
			return c.authenticateManagement(ctx, cmd)
		}
		return c.useKey(ctx, cmd, afterPIN)
	case insGetData:
		return c.getData(cmd)
	case insPutData:
		return c.putData(cmd)
	case insMove:
		return c.move(cmd)
	case insMetadata:
		return c.metadata(cmd)
	case insSerial:
		return binary.BigEndian.AppendUint32(nil, c.serial), nil
	case insAttest:
		return c.attest(cmd)
	case insSetRetries:
		return c.setRetries(cmd)
	case insReset:
		return c.reset()
	case insVersion:
		return c.firmware.bytes(), nil
	case insImport:
		return c.importKey(cmd)
	case insSetManagementKey:
		return c.setManagementKey(cmd)
	}
	return nil, StatusInstruction
}

// selectApplet is SELECT (3.1.1). Selecting PIV while it is selected keeps what
// was proven; any other applet in between ends it.
func (c *Card) selectApplet(aid []byte) ([]byte, error) {
	switch {
	case len(aid) >= 5 && bytes.HasPrefix([]byte(aidPIV), aid):
		if c.session.applet != appletPIV {
			c.session = session{applet: appletPIV}
		}
		return tlv(0x61, append(tlv(0x4F, []byte(aidPIV[5:])...),
			tlv(0x79, tlv(0x4F, []byte(aidPIV[:5])...)...)...)...), nil
	case string(aid) == aidManagement:
		c.session = session{applet: appletManagement}
		return []byte("Virtual mgr - FW version " + c.firmware.String()), nil
	}
	return nil, StatusFileNotFound
}

// deviceInfo is what the management applet tells: PIV is all that is there.
func (c *Card) deviceInfo() []byte {
	piv := []byte{0x00, 0x10}
	var b []byte
	b = appendTLV(b, 0x01, piv) // supported
	b = appendTLV(b, 0x02, binary.BigEndian.AppendUint32(nil, c.serial))
	b = appendTLV(b, 0x03, piv) // enabled
	b = appendTLV(b, 0x04, []byte{c.formFactor})
	b = appendTLV(b, 0x05, c.firmware.bytes())
	b = appendTLV(b, 0x0A, []byte{0}) // not locked
	return append([]byte{byte(len(b))}, b...)
}
