"""The share of step time in which a trainer computes, with decoding beside it and with clips kept in memory."""
