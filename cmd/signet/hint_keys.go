package main

import (
	"errors"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
)

// hintKeys reads what is wrong with a key, a YubiKey or a secret.
func hintKeys(err error) string {
	for _, ask := range []func(error) string{hintSecret, hintStick, hintSlot, hintFile} {
		if text := ask(err); text != "" {
			return text
		}
	}
	return ""
}

// explainKeys tells, where some of those who have to sign are here, how the others
// do: the next step is another command then.
func (a *app) explainKeys(err error) error {
	few, isFew := errors.AsType[*fewError](err)
	lack, isLack := errors.AsType[*client.KeysError](err)
	some := isFew && few.here > 0 || isLack && len(lack.Given) > 0
	_, told := errors.AsType[*advised](err)
	if elsewhere := a.elsewhere(); some && !told && elsewhere != "" {
		return advise(err, "%s; signet inspect REPO shows who may sign, signet key list which keys are at hand; --key KEY chooses", elsewhere)
	}
	return err
}

// hintSecret reads what is wrong with a PIN, a PUK or a management key.
func hintSecret(err error) string {
	wrong, ok := errors.AsType[*yubikey.PINError](err)
	switch {
	case errors.Is(err, yubikey.ErrPUKBlocked):
		return "nothing opens it again but a reset, which destroys the stick's PIV keys: move to another stick first where the PIN still works (signet rotate), then: ykman piv reset, signet yubikey setup"
	case errors.Is(err, yubikey.ErrBlocked):
		return "the PUK sets a new PIN: signet yubikey unblock; without the PUK, replace the stick's keys by those of another one: signet rotate"
	case ok && wrong.PUK:
		return "try again with the right PUK; after the last try nothing unblocks the stick any more but a reset, which destroys its keys"
	case ok:
		return "try again with the right PIN; after the last try the YubiKey blocks it, and only the PUK sets a new one: signet yubikey unblock"
	case errors.Is(err, yubikey.ErrPUK), errors.Is(err, yubikey.ErrPIN):
		return "a PIN and a PUK have 6 to 8 characters; nothing was tried, so no try was lost"
	case errors.Is(err, yubikey.ErrFactoryPIN):
		return "give the stick a PIN, a PUK and a management key of its own: signet yubikey setup; for a test with a stick that protects nothing: --allow-factory-pin"
	case errors.Is(err, yubikey.ErrNewSecret):
		return "choose another one, of 6 to 8 letters, digits or signs; nothing was changed"
	case errors.Is(err, yubikey.ErrManagementKey):
		return "give the management key by --management-key-file FILE"
	case errors.Is(err, keystore.ErrPassphrase):
		return "try again with the right passphrase; there is no way around it"
	case errors.Is(err, keystore.ErrWeak):
		return "take several words"
	}
	return ""
}

// hintStick reads what is wrong with reaching a YubiKey.
func hintStick(err error) string {
	_, several := errors.AsType[*yubikey.SeveralError](err)
	_, named := errors.AsType[*yubikey.BusyError](err)
	switch {
	case several:
		return "say which one by its number, which is printed on it: --serial N, or yubikey:N/SLOT for one of its keys"
	case errors.Is(err, yubikey.ErrTouch):
		return "touch the YubiKey while it blinks; start again when you are ready"
	case errors.Is(err, yubikey.ErrRemoved):
		return "plug the YubiKey in and start again; what was not said to be published was not published"
	case errors.Is(err, yubikey.ErrAbsent):
		return "plug the YubiKey in (signet key list shows what is connected); if it is lost for good, another key takes its place: signet rotate"
	case named:
		return "have it let go as it says, then try again"
	case errors.Is(err, yubikey.ErrBusy):
		return "end the program that holds it (gpgconf --kill scdaemon, for one), or, while it blinks, pull it out and plug it in again; then try again"
	case errors.Is(err, yubikey.ErrTwins):
		return "keep the one that has this number printed on it, and look into where the other came from: do not type your PIN before it is pulled out"
	case errors.Is(err, yubikey.ErrNoDaemon):
		return "start it: systemctl start pcscd.socket (Debian: apt install pcscd)"
	case errors.Is(err, yubikey.ErrNotAllowed):
		return "sign on to this machine itself (a session by ssh is often refused), or have its administrator allow org.debian.pcsc-lite.access_pcsc and access_card to this user in /etc/polkit-1/rules.d"
	case errors.Is(err, yubikey.ErrNoSupport):
		return "use a key file, or a signet that was built with cgo"
	case errors.Is(err, yubikey.ErrFirmware):
		return "firmware cannot be updated: choose what this stick can do (P-256 works on every one), or take a newer stick"
	}
	return ""
}

// hintSlot reads what is wrong with what a slot holds.
func hintSlot(err error) string {
	switch {
	case errors.Is(err, yubikey.ErrSlotTaken):
		return "choose another --slot; signet key list shows what is where"
	case errors.Is(err, yubikey.ErrChooseSlot):
		return "signet yubikey status shows what is where, as far as the stick tells; name a slot that is surely free: --slot 82 to 95"
	case errors.Is(err, yubikey.ErrOtherKey):
		return "the slot was overwritten, or the stick was reset: the key that was there is gone for ever; give its roles another one: signet rotate REPO ROLE --remove KEY --add NEWKEY"
	case errors.Is(err, yubikey.ErrSlotEmpty):
		return "signet key list shows what is where; a key that was there is gone for ever (was the stick reset?), and signet rotate gives its roles another one"
	}
	return ""
}

// hintFile reads what is wrong with a key file.
func hintFile(err error) string {
	switch {
	case errors.Is(err, keystore.ErrNotFound), errors.Is(err, keystore.ErrAmbiguous):
		return "signet key list shows the keys, with their IDs and names"
	case errors.Is(err, keystore.ErrExists):
		return "choose another name; signet key list shows those that are taken"
	case errors.Is(err, keystore.ErrNotHere):
		return "sign on the machine that has it, or plug its YubiKey in"
	}
	return ""
}
