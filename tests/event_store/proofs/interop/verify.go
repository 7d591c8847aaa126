// Verifies what Counterfoil seals with nothing of Counterfoil's: the notes and trees of Go's checksum database
// (golang.org/x/mod/sumdb), and the checkpoints, cosignatures and proofs of github.com/transparency-dev/formats.
//
// It reads a case as JSON from standard input and writes what it found. What is wrong is listed; the exit code is that
// of the program itself.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type given struct {
	Folder      string
	Origin      string
	LogKey      string `json:"log_key"`
	WitnessKey  string `json:"witness_key"`
	Receipts    []string
	Consistency []struct {
		OldSize int64  `json:"old_size"`
		OldRoot string `json:"old_root"`
		Proof   []string
	}
	Entries []string
	Roots   []string
}

type found struct {
	Size     int64    `json:"size"`
	Cosigned int64    `json:"cosigned"`
	Leaves   int64    `json:"leaves"`
	Proofs   int      `json:"proofs"`
	Key      string   `json:"key"`
	Note     string   `json:"note"`
	Wrong    []string `json:"wrong"`
}

// folder reads tiles by the names of c2sp.org/tlog-tiles, which lack the height that sumdb's have.
type folder string

func (f folder) Height() int { return 8 }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	contents := make([][]byte, len(tiles))
	for i, tile := range tiles {
		name := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		content, err := os.ReadFile(filepath.Join(string(f), name))
		if os.IsNotExist(err) { // a partial tile may have become full
			whole, _, _ := strings.Cut(name, ".p/")
			if content, err = os.ReadFile(filepath.Join(string(f), whole)); err == nil {
				content = content[:tile.W*tlog.HashSize]
			}
		}
		if err != nil {
			return nil, err
		}
		contents[i] = content
	}
	return contents, nil
}

func main() {
	var told given
	if err := json.NewDecoder(os.Stdin).Decode(&told); err != nil {
		panic(err)
	}
	result := found{Wrong: []string{}}
	wrong := func(what string, err error) {
		if err != nil {
			result.Wrong = append(result.Wrong, fmt.Sprintf("%s: %v", what, err))
		}
	}
	tree, err := checkpoint(told, &result)
	wrong("checkpoint", err)
	if err == nil {
		hashes := tlog.TileHashReader(tree, folder(told.Folder))
		wrong("tiles", leaves(tree, hashes, &result))
		for _, receipt := range told.Receipts {
			wrong("receipt", inclusion(told, receipt, tree, hashes))
			result.Proofs++
		}
		for _, each := range told.Consistency {
			wrong("consistency", consistency(each.OldSize, each.OldRoot, each.Proof, tree, hashes))
			result.Proofs++
		}
	}
	for i, root := range told.Roots {
		wrong("vector", vector(told.Entries[:i+1], root))
	}
	wrong("signing", sign(told.Origin, tree, &result))
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}

// checkpoint opens the published one: the log signed it, and the witness, if there is one, cosigned it.
func checkpoint(told given, result *found) (tlog.Tree, error) {
	var tree tlog.Tree
	content, err := os.ReadFile(filepath.Join(told.Folder, "checkpoint"))
	if err != nil {
		return tree, err
	}
	signer, err := note.NewVerifier(told.LogKey)
	if err != nil {
		return tree, err
	}
	others := []note.Verifier{}
	if told.WitnessKey != "" {
		witness, err := cosignature.NewVerifierForCosignatureV1(told.WitnessKey)
		if err != nil {
			return tree, err
		}
		others = append(others, witness)
	}
	read, rest, opened, err := log.ParseCheckpoint(content, told.Origin, signer, others...)
	if err != nil {
		return tree, err
	}
	if len(rest) > 0 || len(opened.Sigs) != 1+len(others) {
		return tree, fmt.Errorf("%d signatures, %d bytes of extensions", len(opened.Sigs), len(rest))
	}
	for _, signature := range opened.Sigs[1:] {
		at, err := cosignature.CoSigV1Timestamp(signature)
		if err != nil {
			return tree, err
		}
		result.Cosigned = at.Unix()
	}
	result.Size = int64(read.Size)
	tree.N = int64(read.Size)
	copy(tree.Hash[:], read.Hash)
	return tree, nil
}

// leaves reads all of them; the reader holds each tile against the root.
func leaves(tree tlog.Tree, hashes tlog.HashReader, result *found) error {
	indexes := make([]int64, tree.N)
	for n := range indexes {
		indexes[n] = tlog.StoredHashIndex(0, int64(n))
	}
	read, err := hashes.ReadHashes(indexes)
	result.Leaves = int64(len(read))
	return err
}

// inclusion checks a receipt, and that the proof in it is the one that sumdb makes from the tiles.
func inclusion(told given, receipt string, tree tlog.Tree, hashes tlog.HashReader) error {
	var read proof.TLogProof
	if err := read.Unmarshal([]byte(receipt)); err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(told.Folder, "checkpoint"))
	if err != nil {
		return err
	}
	if string(read.Checkpoint) != string(content) {
		return fmt.Errorf("it is under another checkpoint than the published one")
	}
	index := int64(read.Index)
	leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return err
	}
	theirs := tlog.RecordProof{}
	for _, hash := range read.Hashes {
		theirs = append(theirs, hash)
	}
	if err := tlog.CheckRecord(theirs, tree.N, tree.Hash, index, leaf[0]); err != nil {
		return err
	}
	made, err := tlog.ProveRecord(tree.N, index, hashes)
	if err == nil && !slices.Equal(made, theirs) {
		err = fmt.Errorf("sumdb proves index %d otherwise", index)
	}
	return err
}

// consistency checks a proof, and that it is the one that sumdb makes from the tiles.
func consistency(size int64, root string, hexes []string, tree tlog.Tree, hashes tlog.HashReader) error {
	old, theirs := hash(root), tlog.TreeProof{}
	for _, each := range hexes {
		theirs = append(theirs, hash(each))
	}
	if err := tlog.CheckTree(theirs, tree.N, tree.Hash, size, old); err != nil {
		return err
	}
	made, err := tlog.ProveTree(tree.N, size, hashes)
	if err == nil && !slices.Equal(made, theirs) {
		err = fmt.Errorf("sumdb proves the tree of %d otherwise", size)
	}
	return err
}

// vector builds a tree of entries as sumdb does.
func vector(entries []string, root string) error {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		read := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			read[i] = stored[index]
		}
		return read, nil
	})
	for n, entry := range entries {
		content, err := hex.DecodeString(entry)
		if err != nil {
			return err
		}
		added, err := tlog.StoredHashes(int64(n), content, reader)
		if err != nil {
			return err
		}
		stored = append(stored, added...)
	}
	made, err := tlog.TreeHash(int64(len(entries)), reader)
	if err == nil && made != hash(root) {
		err = fmt.Errorf("the root of %d entries is %x", len(entries), made[:])
	}
	return err
}

// sign makes a key and a checkpoint as this library does, for Counterfoil to read.
func sign(origin string, tree tlog.Tree, result *found) error {
	secret, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return err
	}
	text := log.Checkpoint{Origin: origin, Size: uint64(tree.N), Hash: tree.Hash[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, signer)
	result.Key, result.Note = public, string(signed)
	return err
}

func hash(encoded string) (decoded tlog.Hash) {
	content, err := hex.DecodeString(encoded)
	if err != nil || len(content) != tlog.HashSize {
		panic("no hash: " + encoded)
	}
	copy(decoded[:], content)
	return decoded
}
