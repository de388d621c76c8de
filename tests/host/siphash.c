// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the SipHash vectors that rust/hash/siphash.rs is tested with: `cc siphash.c && ./a.out`.
 *
 * Written after the definition in "SipHash: a fast short-input PRF" (Aumasson, Bernstein, 2012), byte by byte and with
 * the numbers of rounds as arguments, so that the vector in the paper's appendix A (SipHash-2-4, 15 bytes, result
 * a129ca6149be45e5) proves the same code that makes the SipHash-1-3 vectors.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_rounds(struct sip *s, int n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotl(s->v1, 13) ^ s->v0;
		s->v3 = rotl(s->v3, 16) ^ s->v2;
		s->v0 = rotl(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotl(s->v1, 17) ^ s->v2;
		s->v3 = rotl(s->v3, 21) ^ s->v0;
		s->v2 = rotl(s->v2, 32);
	}
}

static uint64_t siphash(int c, int d, uint64_t k0, uint64_t k1, const uint8_t *in, size_t len)
{
	struct sip s = {
		.v0 = k0 ^ 0x736f6d6570736575,
		.v1 = k1 ^ 0x646f72616e646f6d,
		.v2 = k0 ^ 0x6c7967656e657261,
		.v3 = k1 ^ 0x7465646279746573,
	};

	for (size_t block = 0; block <= len / 8; block++) {
		uint64_t m = 0;

		for (size_t i = 0; i < 8 && block * 8 + i < len; i++)
			m |= (uint64_t)in[block * 8 + i] << 8 * i;
		if (block == len / 8)
			m |= (uint64_t)len << 56;
		s.v3 ^= m;
		sip_rounds(&s, c);
		s.v0 ^= m;
	}
	s.v2 ^= 0xff;
	sip_rounds(&s, d);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* The flow hash of IPVS's mh scheduler: SipHash-1-3 of one little-endian u32, cut to 32 bits. */
static void print_mh(uint64_t key, uint32_t value)
{
	uint8_t in[4] = { value, value >> 8, value >> 16, value >> 24 };

	printf("mh  key %llu value %08x: %08x\n", (unsigned long long)key, value,
	       (uint32_t)siphash(1, 3, key, key, in, sizeof(in)));
}

int main(void)
{
	static const uint32_t values[] = { 0, 1, 0x0a000001, 0xc0a80150, 0xffffffff };
	const uint64_t k0 = 0x0706050403020100, k1 = 0x0f0e0d0c0b0a0908;
	uint8_t in[15];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = i;
	printf("2-4, the paper's: %016llx\n",
	       (unsigned long long)siphash(2, 4, k0, k1, in, 15));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		print_mh(2654435761, values[i]);
		print_mh(2654446892, values[i]);
	}
	return 0;
}
