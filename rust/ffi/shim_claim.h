/* SPDX-License-Identifier: GPL-2.0 */
/* IPVS's names: prototypes of shim_claim.c that both it and bindgen read. */
#ifndef RLVS_SHIM_CLAIM_H
#define RLVS_SHIM_CLAIM_H

int rlvs_claim(void);
void rlvs_unclaim(void);

#endif
