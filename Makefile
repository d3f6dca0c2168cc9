SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo live fly test bench check fmt clippy docs deny book picture recording publish-check semver need-cargo need-cc need-ffmpeg need-chromium need-ip need-openssl need-rustfmt need-clippy need-mdbook

DEMO := target/demo
CLIP := $(DEMO)/clip.mkv
THUMBNAILS := $(DEMO)/thumbnails
# A video of yours instead of the clip: make demo VIDEO=holiday.mp4
VIDEO ?= $(CLIP)
export VIDEO
MDBOOK_VERSION := 0.5.4
MDBOOK := target/tools/mdbook-$(MDBOOK_VERSION)

help: ## Lists the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: need-cargo need-cc need-ffmpeg ## Makes thumbnails of a video on a runner, with examples/thumbnails; VIDEO=... for one of yours
	@rm -rf $(THUMBNAILS) && mkdir -p $(DEMO)
	@cargo build --locked -p thumbnails
	@if [[ "$$VIDEO" == $(CLIP) && ! -s $(CLIP) ]]; then \
		echo "making a clip of a minute: $(CLIP)"; \
		ffmpeg -nostdin -loglevel error -y -f lavfi -i testsrc2=duration=60:size=1280x720:rate=25 -c:v mpeg4 -q:v 5 $(CLIP); \
	fi
	cargo run --locked --quiet -p thumbnails -- "$$VIDEO" --every 2 --size 320 --out $(THUMBNAILS)
	@cd $(THUMBNAILS) && times=($$(stat -c %.3Y -- *.png | sort -n)) && \
		echo "the first was there $$(awk "BEGIN { print $${times[-1]} - $${times[0]} }") s before the last; they are in $$PWD"

live: need-cargo need-cc need-ffmpeg ## Serves a page at http://127.0.0.1:4000 on which thumbnails appear while a video uploads; ARGS=... for options
	@cargo build --locked -p live-thumbnails
	cargo run --locked --quiet -p live-thumbnails -- --data target/live $(ARGS)

fly: need-cargo need-cc need-ffmpeg ## Builds the thumbnails example as its Dockerfile does, and runs that binary on Fly's simulator
	cargo build --locked --release -p thumbnails
	THUMBNAILS=$(CURDIR)/target/release/thumbnails cargo test --locked -p thumbnails --test thumbnails fly::

test: need-cargo need-cc need-ffmpeg need-chromium need-ip need-openssl fmt clippy docs deny ## Runs all checks and all tests
	cargo test --locked --workspace --no-fail-fast

bench: need-cargo need-cc ## Measures what things cost, beside floors and targets, into target/bench.json
	cargo bench --locked -p flame-local --bench bench

check: need-cargo need-cc fmt clippy ## Runs the quick checks: format, lints, unit tests
	cargo test --locked --workspace --lib --bins

fmt: need-rustfmt ## Checks the format
	cargo fmt --all --check

clippy: need-clippy ## Runs the lints on everything
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs: ## Builds the documentation of all crates
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace

deny: ## Checks dependencies against deny.toml as far as that works offline, if cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked --offline check bans licenses sources; \
	else \
		echo "cargo-deny is not installed: the tests check the licences, nothing checks advisories"; \
	fi

publish-check: need-cargo need-cc ## Packages each crate, builds the packages, and stops short of the upload; needs the registry
	cargo publish --locked --workspace --dry-run

# A release is a tag v*. Against another revision: make semver BASELINE=main
BASELINE ?= $(shell git describe --tags --match 'v*' --abbrev=0 2>/dev/null)
semver: ## Compares the interface with the last release, by cargo-semver-checks
	@cargo semver-checks --version >/dev/null 2>&1 || { echo "cargo-semver-checks is missing; install it with: cargo install --locked cargo-semver-checks" >&2; exit 1; }
	@[[ -n "$(BASELINE)" ]] || { echo "there is no release yet to compare with: say BASELINE=<revision>" >&2; exit 1; }
	cargo semver-checks --workspace --baseline-rev "$(BASELINE)"

book: need-mdbook ## Builds the guide into target/book; needs a network the first time, for mdBook
	@$(MDBOOK)/bin/mdbook build book
	@! grep -rlE '<(script|link|img)[^>]+(src|href)="https?:' target/book --include=*.html || \
		{ echo "these pages load something from elsewhere" >&2; exit 1; }
	cargo test --locked --quiet -p flame-book --test pages

picture: ## Draws docs/quickstart.svg and the book's picture of a pool anew
	docs/picture.sh
	cargo run --locked --quiet -p flame-book --bin pool_over_time

recording: need-cargo need-cc need-ffmpeg need-chromium ## Records docs/live-thumbnails.webp anew, from the real page in a browser
	cargo test --locked --quiet -p live-thumbnails --test recording

# $(call need,command,packages): installs what is missing as root, and says how to otherwise.
define need
@if ! command -v $(1) >/dev/null; then \
	if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2); \
	else \
		echo "$(1) is missing; install it with: sudo apt-get update && sudo apt-get install -y $(2)" >&2; exit 1; \
	fi; \
fi
endef

need-cargo:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust" >&2; exit 1; }

need-cc:
	$(call need,cc,gcc libc6-dev)

need-ffmpeg:
	$(call need,ffmpeg,ffmpeg)

# With a font, for the pictures that tests write.
need-chromium:
	$(call need,chromium,chromium fonts-dejavu-core)

need-ip:
	$(call need,ip,iproute2)

need-openssl:
	$(call need,openssl,openssl)

need-rustfmt need-clippy: need-%:
	@cargo $(subst rustfmt,fmt,$*) --version >/dev/null 2>&1 || { echo "$* is missing; install it with: rustup component add $*" >&2; exit 1; }

# Not a package of Debian's stable; without search and the server it is built in a minute or two, once.
need-mdbook: need-cargo need-cc
	@[[ -x $(MDBOOK)/bin/mdbook ]] || \
		cargo install --quiet --locked --no-default-features --version $(MDBOOK_VERSION) --root $(MDBOOK) mdbook
