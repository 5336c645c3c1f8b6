package mqtttest

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strings"
)

// passwordFile returns the text of mosquitto's password_file.
func passwordFile(passwords map[string]string) (string, error) {
	var text strings.Builder
	for username, password := range passwords {
		hash, err := hashPassword(password)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%s:%s\n", username, hash)
	}
	return text.String(), nil
}

// hashPassword returns a password as mosquitto 2.0 and later read it: $7$, then the number
// of iterations, the salt and the PBKDF2 hash with SHA-512. The broker derives the hash at
// every connect, so few iterations make tests fast.
func hashPassword(password string) (string, error) {
	const iterations = 101
	salt := make([]byte, 12) // mosquitto 2.0 accepts only this length
	_, _ = rand.Read(salt)   // never fails
	hash, err := pbkdf2.Key(sha512.New, password, salt, iterations, sha512.Size)
	if err != nil {
		return "", err
	}
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("$7$%d$%s$%s", iterations, encode(salt), encode(hash)), nil
}
