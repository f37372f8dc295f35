# SPDX-License-Identifier: Apache-2.0
# filled in with the embedding API
